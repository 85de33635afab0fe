"""Runs Schemathesis against a running server as each role, with all phases and all checks. Arguments: the contract, the
server's URL, the number of examples per operation, a folder for the reports, and optionally the only operation id to test.
Prints the counts. Fails if a check failed or if too few operations succeeded."""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

CONTRACT, SERVER, EXAMPLES, FOLDER = sys.argv[1], sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
ROLES = ("admin", "staff", "doctor")
HERE = pathlib.Path(__file__).parent
PASSWORD = "seven quiet lanterns"
# An operation that no short run can complete: it needs a time that becomes free while an entry waits for it.
NOT_DONE = {"acceptWaitlistOffer"}
OPERATIONS = {
    (method.upper(), path): operation["operationId"]
    for path, methods in json.loads(pathlib.Path(CONTRACT).read_text())["paths"].items()
    for method, operation in methods.items()
}


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(SERVER + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def clinic(role):
    """Creates a clinic with a doctor, a patient and their appointments. Returns the token of a user of this role and the
    rows. A staff user owns the patient; a doctor is the doctor."""
    name = f"fuzz.{time.time_ns()}"
    admin = post("/api/auth/register", {"email": f"{name}@fuzz.example", "password": PASSWORD, "clinic_name": "Fuzz"})["access"]
    email = f"{name}.{role}@fuzz.example"
    user = post("/api/users", {"email": email, "password": PASSWORD, "role": role}, admin)["id"]
    token = admin if role == "admin" else post("/api/auth/login", {"email": email, "password": PASSWORD})["access"]
    body = {"first_name": "Elena", "last_name": "Marsh", "specialization": "Cardiology", "license_number": name, "email": email}
    doctor = post("/api/doctors", body | {"user": user if role == "doctor" else None}, admin)["id"]
    patient = post("/api/patients", {"first_name": "Maya", "last_name": "Okafor"}, token if role == "staff" else admin)["id"]
    mapping = post("/api/mappings", {"doctor": doctor, "patient": patient}, admin)["id"]
    wish = {"doctor": doctor, "patient": patient, "duration_minutes": 30}
    at = [f"{datetime.date.today() + datetime.timedelta(days=200 + n)}T09:00:00Z" for n in range(12)]
    appointments = [post("/api/appointments", wish | {"appointment_datetime": at}, admin)["id"] for at in at]
    rows = {"doctors": [doctor], "patients": [patient], "users": [user], "mappings": [mapping], "appointments": appointments}
    return token, {f"/api/{collection}": ids for collection, ids in rows.items()}


def still_works(token):
    """Returns whether the token is still valid. Otherwise the run tested only 401."""
    request = urllib.request.Request(SERVER + "/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    try:
        return urllib.request.urlopen(request).status == 200
    except urllib.error.HTTPError as error:
        print(f"the token of the run answers {error.code} at its end")
        return False


def done_in(report):
    """Returns the operations that succeeded at least once."""
    done = set()
    for line in report.read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for key, case in recorder.get("cases", {}).items():
            response = recorder.get("interactions", {}).get(key, {}).get("response") or {}
            if 200 <= response.get("status_code", 0) < 300:
                done.add(OPERATIONS.get((case["value"]["method"], case["value"]["path"])))
    return done - {None}


def run(role, token, rows, phases, *which):
    report = FOLDER / f"{role}.ndjson"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run", CONTRACT,
        "--url", SERVER, "--header", f"Authorization: Bearer {token}", "--max-examples", EXAMPLES,
        "--phases", phases, "--generation-allow-x00", "true",
        "--continue-on-failure", "--report", "ndjson", "--report-ndjson-path", str(report), "--seed", "1", "--no-color", *which,
    ]  # fmt: skip
    env = os.environ | {"CLINICD_ROWS": json.dumps(rows), "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    (FOLDER / f"{role}.txt").write_text(done.stdout + done.stderr)
    summary = done.stdout[done.stdout.rfind("SUMMARY") :]
    number = lambda pattern: int((re.search(pattern, summary) or [0, 0])[1])  # noqa: E731
    cases, found, tested = number(r"(\d+) generated"), number(r"(\d+) unique failures"), number(r"Tested: (\d+)")
    links, successes = int((re.search(r"(\d+) covered", done.stdout) or [0, 0])[1]), done_in(report)
    print(f"schemathesis as {role}: {tested} operations, {len(successes)} of them done, {cases} cases, {links} links, {found} failures", flush=True)
    if done.returncode != 0:
        print(done.stdout[-12000:], done.stderr[-3000:])
    proves = cases > 0
    if role in ROLES:
        # One operation is left out: see below.
        proves = tested == len(OPERATIONS) - 1 and links > 0
    if role == "admin":
        missing = set(OPERATIONS.values()) - successes - NOT_DONE - {"logout"}
        print(f"never done as {role}: {', '.join(sorted(missing)) or 'none'}")
        # By chance some operations may never succeed, but not many.
        proves = proves and len(missing) <= 5
    return done.returncode == 0 and proves


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    without_scenarios = "examples,coverage,fuzzing"
    if only := sys.argv[5:]:
        sys.exit(0 if run("only", *clinic("admin"), without_scenarios, "--include-operation-id", only[0]) else 1)
    results = []
    for role in ROLES:
        # Logging out ends every session of the account and thereby the run, so it has its own run.
        of_role, rows = clinic(role)
        results.append(run(role, of_role, rows, f"{without_scenarios},stateful", "--exclude-operation-id", "logout"))
        results.append(still_works(of_role))
    results.append(run("admin-logout", *clinic("admin"), without_scenarios, "--include-operation-id", "logout"))
    sys.exit(0 if all(results) else 1)


main()
