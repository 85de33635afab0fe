// Prints a contract with a fault: node fault.mjs NAME < contract > faulty. scripts/contract defines what each check
// must find.
import { readFileSync } from "node:fs";

const spec = JSON.parse(readFileSync(0, "utf8"));
const { Patient, PatientInput } = spec.components.schemas;
const rename = (schema, from, to) => {
  const fields = Object.entries(schema.properties).map(([name, field]) => [name === from ? to : name, field]);
  schema.properties = Object.fromEntries(fields);
  schema.required = schema.required.map((name) => (name === from ? to : name));
};

const FAULTS = {
  "status-removed": () => delete spec.paths["/api/patients/{id}"].get.responses["404"],
  "field-renamed": () => {
    rename(Patient, "first_name", "given_name");
    rename(PatientInput, "first_name", "given_name");
  },
  undescribed: () => {
    delete spec.paths["/api/patients"].get.description;
    delete spec.paths["/api/patients"].get.operationId;
  },
  "version-lost": () => delete spec.openapi,
  "operation-lost": () => delete spec.paths["/api/slots"],
};

FAULTS[process.argv[2]]();
process.stdout.write(JSON.stringify(spec, null, 2));
