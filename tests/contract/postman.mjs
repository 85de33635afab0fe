// Postman imports the contract: every operation becomes a request, without complaints.
import { readFileSync } from "node:fs";
import postman from "openapi-to-postmanv2";

const text = readFileSync(process.argv[2], "utf8");
const operations = Object.values(JSON.parse(text).paths).flatMap((path) => Object.values(path));
const requests = (items) => items.flatMap((item) => (item.item ? requests(item.item) : [item]));
postman.convertV2({ type: "string", data: text }, { folderStrategy: "Tags" }, (error, result) => {
  if (error || !result.result) throw error ?? new Error(result.reason);
  const imported = requests(result.output[0].data.item);
  console.log(`postman: ${imported.length} requests of ${operations.length} operations`);
  if (imported.length !== operations.length) process.exit(1);
});
