"""Schemathesis against a running server, as each role. Arguments: the contract, where the server is, how many examples an
operation, a folder for its reports, and one operation id where only that is meant. All phases and all checks; prints the counts, and fails where it found anything."""

import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

CONTRACT, SERVER, EXAMPLES, FOLDER = sys.argv[1], sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
HERE = pathlib.Path(__file__).parent
PASSWORD = "seven quiet lanterns"


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(SERVER + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def token(role):
    """The token of a user of that role, in a clinic of their own, with a patient and a profile for the doctor."""
    name = f"fuzz.{time.time_ns()}"
    admin = post("/api/auth/register", {"email": f"{name}@fuzz.example", "password": PASSWORD, "clinic_name": "Fuzz"})["access"]
    post("/api/patients", {"first_name": "Maya", "last_name": "Okafor"}, admin)
    if role == "admin":
        return admin
    email = f"{name}.{role}@fuzz.example"
    user = post("/api/users", {"email": email, "password": PASSWORD, "role": role}, admin)
    if role == "doctor":
        body = {"first_name": "Elena", "last_name": "Marsh", "specialization": "Cardiology", "license_number": name}
        post("/api/doctors", body | {"email": email, "user": user["id"]}, admin)
    return post("/api/auth/login", {"email": email, "password": PASSWORD})["access"]


def still_works(token):
    """Whether the run was one of somebody signed in: otherwise it proved nothing but 401."""
    request = urllib.request.Request(SERVER + "/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    try:
        return urllib.request.urlopen(request).status == 200
    except urllib.error.HTTPError as error:
        print(f"the token of the run answers {error.code} at its end")
        return False


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
    without_scenarios = "examples,coverage,fuzzing"
    if only := sys.argv[5:]:
        sys.exit(0 if run("only", token("admin"), without_scenarios, "--include-operation-id", only[0]) else 1)
    results = []
    for role in ("admin", "staff", "doctor"):
        # Logging out ends every session of the account, and so would end the run: it has a run of its own.
        of_role = token(role)
        results.append(run(role, of_role, f"{without_scenarios},stateful", "--exclude-operation-id", "logout"))
        results.append(still_works(of_role))
    results.append(run("admin-logout", token("admin"), without_scenarios, "--include-operation-id", "logout"))
    sys.exit(0 if all(results) else 1)


main()
