"""Schemathesis against a running server, as each role. Arguments: the contract, where the server is, how many examples an
operation, a folder for its reports, and one operation id where only that is meant. All phases and all checks; prints the counts, and fails where it found anything."""

import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.request

CONTRACT, SERVER, EXAMPLES, FOLDER = sys.argv[1], sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
HERE = pathlib.Path(__file__).parent
PASSWORD = "seven quiet lanterns"


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(SERVER + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def tokens():
    """A clinic with a patient, a user of each role, and a doctor profile for the doctor."""
    name = f"fuzz.{time.time_ns()}"
    admin = post("/api/auth/register", {"email": f"{name}@fuzz.example", "password": PASSWORD, "clinic_name": "Fuzz"})
    of_role = {"admin": admin["access"]}
    post("/api/patients", {"first_name": "Maya", "last_name": "Okafor"}, admin["access"])
    for role in ("staff", "doctor"):
        email = f"{name}.{role}@fuzz.example"
        user = post("/api/users", {"email": email, "password": PASSWORD, "role": role}, admin["access"])
        if role == "doctor":
            body = {"first_name": "Elena", "last_name": "Marsh", "specialization": "Cardiology", "license_number": name}
            post("/api/doctors", body | {"email": email, "user": user["id"]}, admin["access"])
        of_role[role] = post("/api/auth/login", {"email": email, "password": PASSWORD})["access"]
    return of_role


def run(role, token, phases, *which):
    report = FOLDER / f"{role}.ndjson"
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run", CONTRACT,
        "--url", SERVER, "--header", f"Authorization: Bearer {token}", "--max-examples", EXAMPLES,
        "--phases", phases, "--checks", "all", "--generation-allow-x00", "true",
        "--continue-on-failure", "--report", "ndjson", "--report-ndjson-path", str(report), "--seed", "1", "--no-color", *which,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    (FOLDER / f"{role}.txt").write_text(done.stdout + done.stderr)
    summary = done.stdout[done.stdout.rfind("SUMMARY") :]
    number = lambda pattern: int((re.search(pattern, summary) or [0, 0])[1])  # noqa: E731
    cases, found, tested = number(r"(\d+) generated"), number(r"(\d+) unique failures"), number(r"Tested: (\d+)")
    links = (re.search(r"(\d+) covered", done.stdout) or [0, 0])[1]
    print(f"schemathesis as {role}: {tested} operations, {cases} cases, {links} links, {found} failures", flush=True)
    if done.returncode != 0:
        print(done.stdout[-12000:], done.stderr[-3000:])
    return done.returncode == 0 and cases > 0


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    of_role = tokens()
    if only := sys.argv[5:]:
        sys.exit(0 if run("only", of_role["admin"], "examples,coverage,fuzzing", "--include-operation-id", only[0]) else 1)
    # Logging out ends every session of the account, and so ends the run: it is done last, alone.
    everything = "examples,coverage,fuzzing,stateful"
    results = [run(role, token, everything, "--exclude-operation-id", "logout") for role, token in of_role.items()]
    results.append(run("admin", of_role["admin"], "examples,coverage,fuzzing", "--include-operation-id", "logout"))
    sys.exit(0 if all(results) else 1)


main()
