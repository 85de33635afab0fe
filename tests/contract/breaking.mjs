// Checks whether a contract still serves the clients of an earlier one:
//     node breaking.mjs EARLIER.json LATER.json
// Prints the changes that break clients, and fails on them unless the major version was increased. Before 1.0.0 the minor
// version counts as major (semver.org, item 4).
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const METHODS = ["get", "put", "post", "delete", "patch"];

function resolve(spec, schema) {
  while (schema?.$ref) schema = schema.$ref.split("/").slice(1).reduce((at, key) => at[key], spec);
  if (schema?.allOf) {
    const merged = { ...schema };
    for (const part of schema.allOf) Object.assign(merged, resolve(spec, part), part.$ref ? {} : part);
    delete merged.allOf;
    return merged;
  }
  return schema ?? {};
}

/// `direction` is "request" if clients write the schema and "answer" if they read it.
function compareSchema(before, after, a, b, direction, where, found, seen = new Set()) {
  const key = `${a?.$ref}|${b?.$ref}`;
  if (a?.$ref && seen.has(key)) return;
  seen.add(key);
  [a, b] = [resolve(before, a), resolve(after, b)];
  if (a.type !== b.type) found.push(`${where}: type ${a.type} became ${b.type}`);
  if (a.format !== b.format) found.push(`${where}: format ${a.format} became ${b.format}`);
  if (direction === "answer" && !a.nullable && b.nullable) found.push(`${where}: may be null now`);
  if (direction === "request" && a.nullable && !b.nullable) found.push(`${where}: may not be null any more`);
  if (a.enum && b.enum) {
    const [must, have] = direction === "request" ? [a.enum, b.enum] : [b.enum, a.enum];
    for (const value of must) if (!have.includes(value)) found.push(`${where}: value ${value} is ${direction === "request" ? "gone" : "new"}`);
  }
  if (direction === "request") {
    if (!a.enum && b.enum) found.push(`${where}: only some values are left`);
    if (b.pattern && a.pattern !== b.pattern) found.push(`${where}: has another pattern`);
    for (const [limit, isTighter] of [["maximum", (x, y) => y < x], ["maxLength", (x, y) => y < x], ["maxItems", (x, y) => y < x], ["minimum", (x, y) => y > x], ["minLength", (x, y) => y > x]]) {
      if (b[limit] !== undefined && (a[limit] === undefined || isTighter(a[limit], b[limit]))) found.push(`${where}: ${limit} is tighter`);
    }
  }
  for (const name of b.required ?? []) {
    if (direction === "request" && !(a.required ?? []).includes(name)) found.push(`${where}.${name}: is required now`);
  }
  for (const name of a.required ?? []) {
    if (direction === "answer" && !(b.required ?? []).includes(name)) found.push(`${where}.${name}: may be absent now`);
  }
  for (const [name, field] of Object.entries(a.properties ?? {})) {
    const later = b.properties?.[name];
    if (later === undefined) found.push(`${where}.${name}: is gone`);
    else compareSchema(before, after, field, later, direction, `${where}.${name}`, found, seen);
  }
  if (a.items && b.items) compareSchema(before, after, a.items, b.items, direction, `${where}[]`, found, seen);
}

function compareOperation(before, after, a, b, where, found) {
  if (a.operationId !== b.operationId) found.push(`${where}: operationId ${a.operationId} became ${b.operationId}`);
  if ((b.security ?? []).length > (a.security ?? []).length) found.push(`${where}: needs a token now`);
  const named = (operation, parameter) => (operation.parameters ?? []).find((p) => p.name === parameter.name && p.in === parameter.in);
  for (const parameter of a.parameters ?? []) {
    const later = named(b, parameter);
    if (!later) found.push(`${where}: parameter ${parameter.name} is gone`);
    else compareSchema(before, after, parameter.schema, later.schema, "request", `${where} ${parameter.name}`, found);
  }
  for (const parameter of b.parameters ?? []) {
    if (parameter.required && !named(a, parameter)?.required) found.push(`${where}: parameter ${parameter.name} is required now`);
  }
  const body = (operation) => operation.requestBody?.content?.["application/json"]?.schema;
  if (body(a) && body(b)) compareSchema(before, after, body(a), body(b), "request", `${where} body`, found);
  if (!body(a) && body(b)) found.push(`${where}: needs a body now`);
  for (const [status, answer] of Object.entries(a.responses)) {
    const later = b.responses[status];
    if (!later) {
      found.push(`${where}: status ${status} is gone`);
      continue;
    }
    for (const [type, content] of Object.entries(answer.content ?? {})) {
      const other = later.content?.[type];
      if (!other) found.push(`${where} ${status}: ${type} is gone`);
      else compareSchema(before, after, content.schema, other.schema, "answer", `${where} ${status}`, found);
    }
    for (const name of Object.keys(answer.headers ?? {})) {
      if (!later.headers?.[name]) found.push(`${where} ${status}: header ${name} is gone`);
    }
  }
  for (const status of Object.keys(b.responses)) {
    if (status.startsWith("2") && !a.responses[status]) found.push(`${where}: answers ${status} now`);
  }
}

/// Returns the changes of the later contract that break clients of the earlier one.
export function breaking(before, after) {
  const found = [];
  for (const [path, operations] of Object.entries(before.paths)) {
    for (const method of METHODS.filter((method) => operations[method])) {
      const where = `${method.toUpperCase()} ${path}`;
      const later = after.paths[path]?.[method];
      if (!later) found.push(`${where}: is gone`);
      else compareOperation(before, after, operations[method], later, where, found);
    }
  }
  return [...new Set(found)];
}

/// Returns whether the version announces breaking changes.
export function majorMoved(before, after) {
  const [a, b] = [before, after].map((spec) => spec.info.version.split(".").map(Number));
  return b[0] > a[0] || (a[0] === 0 && b[0] === 0 && b[1] > a[1]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [before, after] = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, "utf8")));
  const found = breaking(before, after);
  for (const line of found) console.log(`breaking: ${line}`);
  console.log(`breaking changes since ${before.info.version}: ${found.length}`);
  if (found.length > 0 && !majorMoved(before, after)) process.exit(1);
}
