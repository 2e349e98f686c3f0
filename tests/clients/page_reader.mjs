#!/usr/bin/env node
// The status page in headless Chromium, read by whoever writes commands to stdin, one JSON object a line:
//
//   {"see": [["#word", "Shut"], …]}   waits until each element that the selector finds first holds that text
//   {"click": "#close"}
//   {"count": "main script"}
//   {"shoot": "DIRECTORY/NAME"}       NAME-light.png, NAME-dark.png and NAME-phone.png
//
// Each is answered by one line. Last, at the end of stdin, come the complaints of the browser: scripts that failed,
// dialogs that opened, and what the page's policy forbade.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { say } from "./options.mjs";

// Whoever commands is more patient than that; a selector that stays away is named.
const PATIENCE_MS = 18_000;
const VIEWS = [
  ["light", { width: 1200, height: 900 }],
  ["dark", { width: 1200, height: 900 }],
  ["phone", { width: 360, height: 740 }],
];

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
});
const page = await browser.newPage({ viewport: VIEWS[0][1] });
const complaints = [];
page.setDefaultTimeout(PATIENCE_MS);
page.on("pageerror", (error) => complaints.push(error.message));
page.on("dialog", (dialog) => complaints.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
page.on("console", (line) => line.text().includes("Content Security Policy") && complaints.push(line.text()));
await page.goto(process.argv[2]);
say("open");

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    say("done", { count: await obey(command) });
  } catch (error) {
    const seen = await page.locator("body").innerText();
    say("done", { error: `${line}: ${error.message}\n${seen}` });
  }
}
say("complaints", { complaints });
await browser.close();

async function obey({ see, click, count, shoot }) {
  for (const [selector, text] of see ?? []) await page.locator(selector).filter({ hasText: text }).first().waitFor({ state: "attached" });
  if (click) await page.locator(click).first().click();
  if (shoot) await shots(shoot);
  return count ? page.locator(count).count() : null;
}

async function shots(path) {
  for (const [name, viewport] of VIEWS) {
    await page.emulateMedia({ colorScheme: name === "dark" ? "dark" : "light" });
    await page.setViewportSize(viewport);
    await page.screenshot({ path: `${path}-${name}.png`, fullPage: true });
  }
  await page.setViewportSize(VIEWS[0][1]);
}
