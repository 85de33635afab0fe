"""Gives the fuzzer the rows of its clinic and the current day, which a schema cannot express. Most valid requests get ids of
rows of this clinic (from CLINICD_ROWS and from the run itself) and upcoming times, so that they succeed. The other requests
stay as they were generated."""

import datetime
import json
import os
import random
import uuid

import schemathesis

# By collection path: the parameters of that path, and the ids of its rows.
ROWS = {path: [({}, id) for id in ids] for path, ids in json.loads(os.environ["CLINICD_ROWS"]).items()}
FIELDS = {"doctor": "/api/doctors", "patient": "/api/patients", "user": "/api/users"}
# The operation that each of these makes possible.
NEXT = {
    "/api/appointments/{id}/confirm": "/api/appointments/{id}/check-in",
    "/api/appointments/{id}/check-in": "/api/appointments/{id}/complete",
    "/api/doctors/{id}/time-off": "/api/doctors/{id}/time-off/{time_off_id}",
}
READY = {path: [] for path in NEXT.values()}
RULES = ["FREQ=DAILY;COUNT=3", "FREQ=WEEKLY;COUNT=4", "FREQ=WEEKLY;BYDAY=MO,WE;COUNT=6"]
chance = random.Random(1)


def soon():
    at = datetime.datetime.now(datetime.timezone.utc).replace(hour=8, minute=0, second=0, microsecond=0)
    return (at + datetime.timedelta(days=chance.randint(1, 60), minutes=15 * chance.randint(0, 36))).isoformat()


def day(after):
    return (datetime.date.today() + datetime.timedelta(days=after)).isoformat()


MEANT = {
    "appointment_datetime": soon,
    "rrule": lambda: chance.choice(RULES),
    "role": lambda: chance.choice(["admin", "staff", "doctor"]),
    "time_zone": lambda: chance.choice(["Europe/Lisbon", "America/New_York", "Asia/Kolkata"]),
    "first_day": lambda: day(1),
    "last_day": lambda: day(14),
    "earliest_time": lambda: "08:00",
    "latest_time": lambda: "18:00",
}


def ends(operation):
    return operation.method == "delete" or operation.path.endswith(("/cancel", "/no-show"))


def with_rows(path, body):
    body = {name: MEANT[name]() if name in MEANT else value for name, value in body.items()}
    for name, collection in FIELDS.items():
        known = [id for _, id in ROWS[collection]]
        # A value from a link is kept.
        if body.get(name) is not None and body[name] not in known:
            body[name] = chance.choice(known)
    if path == "/api/waitlist":
        # Only one of the two fields selects the doctors.
        body.pop("specialization", None)
        body["doctor"] = body.get("doctor") or chance.choice(ROWS["/api/doctors"])[1]
    return body


@schemathesis.hook
def before_call(ctx, case, kwargs):
    fits = case.meta is not None and case.meta.generation.mode.is_positive
    if not fits or chance.random() < 0.1:
        return
    path, is_scenario = case.operation.path, case.meta.phase.name.value == "stateful"
    if isinstance(case.body, dict):
        case.body = with_rows(path, case.body)
    if READY.get(path) and not (is_scenario and "time_off_id" in path):
        case.path_parameters = READY[path].pop()
    # The row in the path belongs to the closest collection. In scenarios, links provide it.
    for collection in sorted(ROWS, key=len, reverse=True) if not is_scenario else ():
        if path.startswith(f"{collection}/{{"):
            name = path[len(collection) + 2 :].split("}")[0]
            if str(case.path_parameters[name]) not in [str(id) for _, id in ROWS[collection]]:
                # An operation that ends a row takes an old one, so that the others stay usable.
                above, id = chance.choice(ROWS[collection][:2] if ends(case.operation) else ROWS[collection][-4:])
                case.path_parameters = case.path_parameters | above | {name: id}
            break
    for name in case.headers or {}:
        if name == "If-Match":
            case.headers[name] = "*"
        # A key of an earlier request would return the earlier answer.
        if name == "Idempotency-Key":
            case.headers[name] = str(uuid.UUID(int=chance.getrandbits(128)))


@schemathesis.hook
def after_call(ctx, case, response):
    path, named = case.operation.path, dict(case.path_parameters or {})
    made = response.json() if response.status_code == 201 and case.operation.method == "post" else {}
    if "id" in made:
        ROWS.setdefault(path, []).append((named, made["id"]))
        named = named | {"time_off_id": made["id"]}
    if ends(case.operation) and response.status_code in (200, 204):
        rows = ROWS.get(path.rsplit("/{", 1)[0], [])
        # One row is kept, so that there is always one to choose.
        rows[1:] = [row for row in rows[1:] if row[1] not in named.values()]
    if path in NEXT and response.status_code in (200, 201) and case.operation.method == "post":
        READY[NEXT[path]].append(named)
