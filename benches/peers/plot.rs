//! The growth of cost, drawn: one picture of two panels, on logarithmic axes.

use std::fmt::Write as _;

use super::{growth, memory, report::Report};

/// Size of a panel and what surrounds it, in units of the picture.
const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const GAP: f64 = 90.0;

/// The number of sessions, as powers of ten.
const SESSIONS: (f64, f64) = (1.0, 4.0);

/// Told apart by colour-blind eyes too.
const LINES: [(&str, &str); 5] = [
    ("readygate", "#d55e00"),
    ("relay", "#999999"),
    ("nginx", "#009e73"),
    ("haproxy", "#0072b2"),
    ("caddy", "#cc79a7"),
];

/// Held sessions: readygate's alone.
const HELD: (&str, &str) = ("readygate, held", "#e69f00");

/// Less is the grain of pages over few sessions, and has no place on a logarithmic axis.
const GRAIN: f64 = 0.2;

struct Panel {
    title: &'static str,
    left: f64,
    /// The value, as powers of ten.
    values: (f64, f64),
    lines: Vec<Line>,
}

struct Line {
    name: &'static str,
    colour: &'static str,
    points: Vec<(f64, f64)>,
}

/// The picture, if the run has what it shows.
pub(crate) fn draw(report: &Report) -> Option<String> {
    let cost = lines(report, &memory::OPEN, growth::figure);
    let mut size = lines(report, &memory::OPEN, |sessions| memory::figure(sessions, "open"));
    let held = points(report, LINES[0].0, &memory::HELD, |sessions| memory::figure(sessions, "held"));
    size.push(Line { name: HELD.0, colour: HELD.1, points: held });
    size.retain(|line| !line.points.is_empty());
    if cost.is_empty() || size.is_empty() {
        return None;
    }
    let panels = [
        Panel { title: "CPU of the proxy, us a 64-byte message", left: LEFT, values: (0.0, 2.0), lines: cost },
        Panel { title: "memory, KiB a session", left: LEFT + WIDTH + GAP, values: (-1.0, 3.0), lines: size },
    ];
    let (width, height) = (LEFT + 2.0 * WIDTH + GAP + 130.0, TOP + HEIGHT + 50.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    panels.iter().for_each(|panel| panel.draw(&mut svg));
    panels[1].legend(&mut svg);
    svg.push_str("</svg>\n");
    Some(svg)
}

fn lines(report: &Report, steps: &[usize], figure: impl Fn(usize) -> String) -> Vec<Line> {
    let line = |(name, colour)| Line { name, colour, points: points(report, name, steps, &figure) };
    LINES.map(line).into_iter().filter(|line| !line.points.is_empty()).collect()
}

fn points(report: &Report, name: &str, steps: &[usize], figure: impl Fn(usize) -> String) -> Vec<(f64, f64)> {
    let point = |sessions: &usize| Some((*sessions as f64, report.median(&figure(*sessions), name)?));
    steps.iter().filter_map(point).filter(|(_, value)| *value > GRAIN).collect()
}

impl Panel {
    fn draw(&self, svg: &mut String) {
        let Self { title, left, .. } = self;
        let (middle, bottom) = (left + WIDTH / 2.0, TOP + HEIGHT);
        put(svg, &format!("<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>", TOP - 14.0));
        put(svg, &format!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">sessions</text>", bottom + 38.0));
        for power in powers(SESSIONS) {
            let (x, _) = self.place((10f64.powf(power), 1.0));
            put(svg, &format!("<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#dddddd\"/>"));
            put(
                svg,
                &format!(
                    "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    bottom + 18.0,
                    10f64.powf(power)
                ),
            );
        }
        for power in powers(self.values) {
            let (_, y) = self.place((10.0, 10f64.powf(power)));
            put(svg, &format!("<path d=\"M{left} {y:.1}H{}\" stroke=\"#dddddd\"/>", left + WIDTH));
            put(
                svg,
                &format!(
                    "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                    left - 8.0,
                    y + 4.0,
                    10f64.powf(power)
                ),
            );
        }
        self.lines.iter().for_each(|line| self.line(svg, line));
    }

    fn line(&self, svg: &mut String, line: &Line) {
        let places: Vec<String> =
            line.points.iter().map(|point| self.place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let colour = line.colour;
        // The relay lies below others where it is as good as they are.
        let dashes = if line.name == "relay" { " stroke-dasharray=\"5 4\"" } else { "" };
        let stroke = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}");
        put(svg, &format!("<polyline points=\"{}\" {stroke}/>", places.join(" ")));
        for (x, y) in line.points.iter().map(|point| self.place(*point)) {
            put(svg, &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
        }
    }

    fn legend(&self, svg: &mut String) {
        let x = self.left + WIDTH + 16.0;
        for (index, line) in self.lines.iter().enumerate() {
            let y = TOP + 14.0 + 20.0 * index as f64;
            put(svg, &format!("<circle cx=\"{x}\" cy=\"{}\" r=\"4\" fill=\"{}\"/>", y - 4.0, line.colour));
            put(svg, &format!("<text x=\"{}\" y=\"{y}\">{}</text>", x + 10.0, line.name));
        }
    }

    /// What lies outside the panel stands on its edge.
    fn place(&self, (sessions, value): (f64, f64)) -> (f64, f64) {
        let share =
            |value: f64, (low, high): (f64, f64)| ((value.max(1e-9).log10() - low) / (high - low)).clamp(0.0, 1.0);
        (self.left + WIDTH * share(sessions, SESSIONS), TOP + HEIGHT * (1.0 - share(value, self.values)))
    }
}

fn powers((low, high): (f64, f64)) -> impl Iterator<Item = f64> {
    (0..).map(move |step| low + f64::from(step)).take_while(move |power| *power <= high)
}

fn put(svg: &mut String, element: &str) {
    writeln!(svg, "{element}").unwrap();
}
