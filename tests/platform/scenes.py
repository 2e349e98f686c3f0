"""The scenes that are rehearsed. Each gives its columns: the application alone, and the same behind readygate."""

import asyncio
import contextlib
import random
import time
from collections import Counter

from clients import BURDEN, RETURN_SECONDS, Client, Returning
from cloud import Broken, http_get, within
from counts import Count, shown

# Messages of a client that sends all it has at once.
MESSAGES = 5

# To fill every buffer between an application and a client who does not read: five answers of this size to each.
FLOOD_MESSAGES, FLOOD_PADDING = 100, 64 << 10

# A client that reads slowly takes so much at a time, this often: a hundredth of what it is sent in the whole drain.
SIP_BYTES, SIP_SECONDS = 1024, 0.05

# For readygate to read what was sent before. On a machine so busy that it has not, the scene has less to show.
STEP_SECONDS = 0.1

# Who come while readygate drains.
NEWCOMERS = 5


async def columns(scene, *ways):
    """The columns of one scene, played side by side."""
    return await asyncio.gather(*(scene(**way) for way in ways))


@contextlib.asynccontextmanager
async def serving(stage, gated, **how):
    """An instance that is started, booted and open; closed at the end."""
    instance = stage.instance(gated, **how)
    try:
        await instance.start()
        await instance.boots()
        yield instance
    finally:
        instance.close()


async def crowd(port, name, number, **how):
    """So many clients that shake hands and send at once."""
    clients = [Client(f"{name} {n}", **how) for n in range(number)]

    async def come(client):
        if await client.connect(port):
            client.say(MESSAGES)

    await asyncio.gather(*(come(client) for client in clients))
    return clients


async def part(clients):
    """Everybody waits for the last answer, and goes."""
    await asyncio.gather(*(client.settled() for client in clients if client.visit.connected))
    await asyncio.gather(*(client.leave() for client in clients if client.visit.connected))


# --- a cold start -----------------------------------------------------------------------------------------------------


async def cold(stage):
    """A cold start: traffic as soon as the ingress port listens, seconds before the application can serve it."""

    async def play(name, gated, order="readygate first"):
        count, instance = Count(name, gated), stage.instance(gated, order=order)
        try:
            starting = asyncio.create_task(instance.start())
            await instance.listens()
            asking = asyncio.create_task(http_get(instance.public.number, "/health/ready"))
            clients = await crowd(instance.public.number, "client", stage.clients)
            await within("the start of all containers", starting)
            if gated:
                await instance.holds(stage.clients, stage.clients * MESSAGES)
            else:
                await within("a first loss", until_dropped(instance))
            await instance.boots()
            await part(clients)
            status, _ = await asking
            count.http[str(status)] += 1
            await instance.terminate()
            count.add(clients)
            count.add_instance(instance)
        finally:
            instance.close()
        if gated:
            count.promise_whole()
            count.promise("a plain request waits and is answered", count.http == {"200": 1})
            count.promise("the application saw everything", count.received == count.sent)
            count.promise_exit()
        else:
            count.promise("the application alone loses messages", count.lost > 0)
        return count

    ways = ({"name": "alone", "gated": False}, {"name": "readygate first", "gated": True})
    return await columns(play, *ways, {"name": "app first", "gated": True, "order": "app first"})


async def until_dropped(instance):
    while not (await instance.ledger())["dropped"]:
        await asyncio.sleep(0.01)


# --- a SIGTERM --------------------------------------------------------------------------------------------------------


async def drain(stage):
    """SIGTERM under clients that talk, are silent, wait, read slowly, and read nothing."""

    async def play(name, gated, deaf=False):
        count = Count(name, gated)
        async with serving(stage, gated, deaf=deaf) as instance:
            port = instance.public.number
            open_ones = await crowd(port, "open", stage.clients)
            await asyncio.gather(*(client.settled() for client in open_ones))
            talkers = [asyncio.create_task(client.talk()) for client in open_ones[::2]]
            held = await crowd(port, "held", stage.clients, path="/websocket")
            if gated:
                await instance.holds(stage.clients, stage.clients * MESSAGES)
            burdens = await burden(port)
            began = time.monotonic()
            terminating = asyncio.create_task(instance.terminate())
            if gated:
                await instance.drains()
                newcomers = [Client(f"newcomer {n}") for n in range(NEWCOMERS)]
                await asyncio.gather(*(newcomer.connect(port) for newcomer in newcomers))
                count.http = Counter(newcomer.visit.end for newcomer in newcomers)
            await terminating
            await asyncio.gather(*(client.over() for client in open_ones + held), *talkers)
            count.add(open_ones + held)
            count.add_instance(instance)
            count.facts["held ones ended (s after SIGTERM)"] = moments(held, began)
            count.facts["open ones ended (s after SIGTERM)"] = moments(open_ones, began)
            count.facts["found by the half-dead"] = await finds(burdens)
        if gated:
            count.promise("everybody was connected", count.connected == count.clients > 0)
            count.promise("everybody is told 1012", count.closes == {"1012": count.clients})
            count.promise("who comes now is told 503", count.http == {"status 503": NEWCOMERS})
            count.promise("a Close waits for the half-dead", count.facts["found by the half-dead"] == "2 × close 1012")
            count.promise_told()
            count.promise_exit()
        return count

    ways = [{"name": "alone", "gated": False}, {"name": "readygate", "gated": True}]
    deaf = [{"name": way["name"] + ", deaf app", "gated": way["gated"], "deaf": True} for way in ways]
    return await columns(play, *ways, *deaf)


def moments(clients, began):
    ends = sorted(client.visit.ended_at - began for client in clients)
    return f"{ends[0]:.1f} to {ends[-1]:.1f}"


async def finds(burdens):
    """What those who read nothing find in their sockets when all is over; the full ones have no room for it."""
    half_dead = [client for client in burdens if "half-dead" in client.name]
    await asyncio.gather(*(client.wakes() for client in half_dead))
    for client in burdens:
        client.drop()
    return shown(Counter(client.visit.end for client in half_dead))


async def burden(port):
    """Those whom no drain can satisfy: they are not counted, but the exit must not wait for them."""
    mute = Client(BURDEN + "mute", mute=True, padding=FLOOD_PADDING)
    slow = Client(BURDEN + "slow", mute=True, padding=FLOOD_PADDING)
    half_dead = Client(BURDEN + "half-dead", mute=True)
    waiting = Client(BURDEN + "half-dead and held", mute=True, path="/websocket")
    for client in (mute, slow, half_dead, waiting):
        if not await client.connect(port):
            raise Broken(f"{client.name} was not connected: {client.visit.end}")
    mute.say(FLOOD_MESSAGES)
    slow.say(FLOOD_MESSAGES)
    half_dead.say(MESSAGES)
    waiting.say(MESSAGES)
    slow.reading = asyncio.create_task(sip(slow))
    idle = Client("idle")
    await idle.connect(port, first_half=True)
    return [mute, slow, half_dead, waiting, idle]


async def sip(client):
    client.writer.transport.resume_reading()
    with contextlib.suppress(ConnectionError):
        while await client.reader.read(SIP_BYTES):
            await asyncio.sleep(SIP_SECONDS)


# --- a CPU that stops -------------------------------------------------------------------------------------------------


async def idle(stage):
    """The CPU stops between requests, within a check, and goes on as one arrives; in the last stop SIGTERM comes."""

    async def play(name, gated):
        count, clients, waits, alive = Count(name, gated), [], [], Counter()
        async with serving(stage, gated) as instance:
            instance.cpu_stops = True
            with instance.request():
                clients += await crowd(instance.public.number, "first", 1)
                await part(clients)
                first = metrics = await instance.metrics() if gated else {}
            for number, seconds in enumerate(stage.stops):
                with instance.request():
                    before = await instance.check_begins()
                await asyncio.sleep(seconds)
                client = Client(f"after {seconds} s, {number}")
                clients.append(client)
                with instance.request():
                    judging = instance.check_ends(before, seconds)
                    waited, _ = await asyncio.gather(first_answer(instance, client, alive), judging)
                    waits.append(waited)
                    status, _ = await http_get(instance.public.number, "/health/ready")
                    count.http[str(status)] += 1
                    await part([client])
                    metrics = await instance.checks(more_than=metrics) if gated else {}
            if gated:
                count.add_checks(first, metrics)
                clients.append(await death_in_a_stop(stage, instance))
            await asyncio.sleep(stage.stops[0])
            await instance.terminate()
            count.add(clients)
            count.add_instance(instance)
        count.facts["stops of the CPU"] = " ".join(f"{seconds} s" for seconds in stage.stops)
        count.facts["from SIGCONT to the first answer"] = f"{min(waits) * 1e3:.0f} to {max(waits) * 1e3:.0f} ms"
        if gated:
            count.promise_whole()
            count.promise("every plain request is answered", count.http == {"200": len(stage.stops)})
            count.promise_calm(alive)
            count.promise_checks_met(stage)
            count.promise_exit()
        return count

    return await columns(play, {"name": "alone", "gated": False}, {"name": "readygate", "gated": True})


async def first_answer(instance, client, alive):
    """From the arrival that turns the CPU on to the first answer. The liveness probe asks too."""
    began = time.monotonic()
    probing = asyncio.create_task(http_get(instance.admin.number, "/livez")) if instance.gated else None
    await client.connect(instance.public.number)
    client.say(1)
    await client.served()
    waited = time.monotonic() - began
    if probing:
        status, _ = await probing
        alive[status] += 1
    return waited


async def death_in_a_stop(stage, instance):
    """What has died in a stop is noticed after it, by the checks alone; who comes then waits for its return."""
    authority = instance.services.authority
    authority.server.close()
    await asyncio.sleep(stage.stops[0])
    with instance.request():
        await instance.shuts()
        (client,) = await crowd(instance.public.number, "after a death", 1)
        await instance.holds(1, MESSAGES)
        await authority.start()
        await part([client])
    return client


async def amid(stage):
    """The CPU stops under open and held sessions, within a frame, a request head and a check."""

    async def play(name, gated):
        count, alive = Count(name, gated), Counter()
        async with serving(stage, gated) as instance:
            port = instance.public.number
            clients = await crowd(port, "open", stage.clients)
            await asyncio.gather(*(client.settled() for client in clients))
            before = await instance.metrics() if gated else {}
            clients += await crowd(port, "held", stage.clients, path="/websocket")
            if gated:
                await instance.holds(stage.clients, stage.clients * MESSAGES)
            for number, seconds in enumerate(stage.stops):
                for client in clients[: stage.clients]:
                    client.say(1)
                clients += await stopped_amid(stage, instance, number, seconds, alive)
            if gated:
                count.add_checks(before, await instance.metrics())
                instance.services.warehouse_opens()
            await part(clients)
            await instance.terminate()
            count.add(clients)
            count.add_instance(instance)
        count.facts["stops of the CPU"] = " ".join(f"{seconds} s" for seconds in stage.stops)
        if gated:
            count.promise_whole()
            count.promise("the application saw everything", count.received == count.sent)
            count.promise_calm(alive)
            count.promise_checks_met(stage)
            count.promise_exit()
        return count

    return await columns(play, {"name": "alone", "gated": False}, {"name": "readygate", "gated": True})


async def stopped_amid(stage, instance, number, seconds, alive):
    """One stop; gives those who came in it."""
    port = instance.public.number
    within_head = Client(f"within its head {number}")
    within_frame = Client(f"within a frame {number}", path="/websocket")
    before = await instance.check_begins()
    await within_frame.connect(port)
    await within_head.connect(port, first_half=True)
    message = within_frame.message()
    within_frame.write(message[: len(message) // 2])
    await asyncio.sleep(STEP_SECONDS)
    instance.stop_cpu()
    within_head.write_rest()
    within_frame.write(message[len(message) // 2 :])
    arriving = asyncio.create_task(crowd(port, f"in stop {number}", 1))
    await asyncio.sleep(seconds)
    instance.resume_cpu()
    if instance.gated:
        status, _ = await http_get(instance.admin.number, "/livez")
        alive[status] += 1
    await instance.check_ends(before, seconds)
    if await within_head.shaken():
        within_head.say(MESSAGES)
    return [within_head, within_frame, *await arriving]


# --- a replacement ----------------------------------------------------------------------------------------------------


async def replace(stage):
    """The instance is replaced under its users: the next one listens, the old one gets SIGTERM, everybody comes back."""

    async def play(name, gated):
        count = Count(name, gated)
        old, new = stage.instance(gated), stage.instance(gated)
        users = [Returning(f"user {n}", MESSAGES) for n in range(stage.clients)]
        try:
            await old.start()
            await old.boots()
            stayers = await crowd(old.public.number, "stayer", stage.clients)
            await asyncio.gather(*(client.settled() for client in stayers))
            starting = asyncio.create_task(new.start())
            await new.listens()
            terminating = asyncio.create_task(old.terminate())
            lives = [asyncio.create_task(come_back(stayer, user, new)) for stayer, user in zip(stayers, users)]
            await within("the start of the next instance", starting)
            await within("everybody's return", asyncio.gather(*(user.arrived.wait() for user in users)))
            if not gated:
                await within("a first loss", until_dropped(new))
            await new.boots()
            await within("all their answers", asyncio.gather(*lives))
            await terminating
            await part(users)
            await new.terminate()
            count.add(stayers)
            count.add(users)
            count.add_instance(old)
            count.add_instance(new)
        finally:
            old.close()
            new.close()
        left = sum(user.left for user in users)
        count.facts["unanswered after the return"] = left
        if gated:
            count.promise("everybody was connected", count.connected == count.clients > 0)
            count.promise("everybody was served in the end", left == 0)
            count.promise("nobody was told but by the old instance", sum(count.closes.values()) == len(stayers))
            count.promise_told()
            count.promise_exit()
        else:
            count.promise("the application alone loses messages", count.lost > 0)
        return count

    return await columns(play, {"name": "alone", "gated": False}, {"name": "readygate", "gated": True})


async def come_back(stayer, user, instance):
    """One user whose connection ends, and who comes back."""
    await stayer.over()
    await asyncio.sleep(random.random() * RETURN_SECONDS)
    await user.live(instance.public.number)


SCENES = {"cold": cold, "drain": drain, "idle": idle, "amid": amid, "replace": replace}
