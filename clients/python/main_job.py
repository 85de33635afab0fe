"""The main job, by a client that openapi-python-client generated: sign up, a doctor, a patient, a mapping, a booking, the
same booking again, and what is offered instead. Argument: where the server is."""

import datetime
import sys
import time

from clinicd_client import AuthenticatedClient, Client
from clinicd_client.api.appointments import cancel_appointment, create_appointment, list_appointments
from clinicd_client.api.auth import register
from clinicd_client.api.doctors import create_doctor
from clinicd_client.api.mappings import create_mapping
from clinicd_client.api.patients import create_patient
from clinicd_client.models import (
    Appointment,
    AppointmentInput,
    AppointmentStatus,
    Doctor,
    DoctorInput,
    Mapping,
    MappingInput,
    Patient,
    PatientInput,
    Problem,
    RegisterInput,
    TokenPair,
)


def expected(kind, answer):
    assert isinstance(answer.parsed, kind), (answer.status_code, answer.content)
    return answer.parsed


def main(url: str) -> None:
    name = f"py.{time.time_ns()}@clients.example"
    body = RegisterInput(email=name, password="seven quiet lanterns", clinic_name="Pythonic Clinic")
    tokens = expected(TokenPair, register.sync_detailed(client=Client(base_url=url), body=body))
    client = AuthenticatedClient(base_url=url, token=tokens.access)

    body = DoctorInput(first_name="Elena", last_name="Marsh", specialization="Cardiology", license_number="PY-1", email="elena@clients.example")
    doctor = expected(Doctor, create_doctor.sync_detailed(client=client, body=body))
    body = PatientInput(first_name="Maya", last_name="Okafor")
    patient = expected(Patient, create_patient.sync_detailed(client=client, body=body))
    expected(Mapping, create_mapping.sync_detailed(client=client, body=MappingInput(doctor=doctor.id, patient=patient.id)))

    at = datetime.datetime(2031, 3, 5, 10, tzinfo=datetime.timezone.utc)
    wish = AppointmentInput(doctor=doctor.id, patient=patient.id, appointment_datetime=at, duration_minutes=30)
    appointment = expected(Appointment, create_appointment.sync_detailed(client=client, body=wish, idempotency_key=name))
    assert appointment.status is AppointmentStatus.SCHEDULED
    replayed = expected(Appointment, create_appointment.sync_detailed(client=client, body=wish, idempotency_key=name))
    assert replayed.id == appointment.id

    refused = create_appointment.sync_detailed(client=client, body=wish)
    assert refused.status_code == 409
    problem = expected(Problem, refused)
    assert problem.type_ == "/problems/slot-taken" and len(problem.next_slots) == 3, problem
    wish.appointment_datetime = problem.next_slots[0].start
    second = expected(Appointment, create_appointment.sync_detailed(client=client, body=wish))
    assert second.appointment_datetime == problem.next_slots[0].start

    assert cancel_appointment.sync_detailed(client=client, id=appointment.id).status_code == 204
    listed = list_appointments.sync(client=client, status=AppointmentStatus.CANCELLED)
    assert [row.id for row in listed] == [appointment.id], listed
    print("python client: the main job is done")


main(sys.argv[1])
