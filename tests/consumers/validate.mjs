// Validates JSON lines with Ajv in strict mode, and prints a report as JSON.
//
// usage: validate.mjs MODULES SCHEMA FILE...
//
// MODULES is the directory with node_modules. The report has the warnings that Ajv logs, and for each
// file its number of lines and the errors of each invalid line.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [modules, schema, ...paths] = process.argv.slice(2);
const require = createRequire(resolve(modules, "package.json"));
const { Ajv2020 } = require("ajv/dist/2020");
const addFormats = require("ajv-formats").default;

const warnings = [];
const keep = (...words) => warnings.push(words.join(" "));
const ajv = new Ajv2020({ strict: true, allErrors: true, logger: { log: keep, warn: keep, error: keep } });
addFormats(ajv);
const validate = ajv.compile(JSON.parse(readFileSync(schema, "utf8")));

function shorten({ instancePath, keyword, message, params }) {
    const missing = params.missingProperty === undefined ? [] : [params.missingProperty];
    return { path: [...instancePath.split("/").slice(1), ...missing].join("/"), keyword, message };
}

const files = {};
for (const path of paths) {
    const lines = readFileSync(path, "utf8").replace(/\n$/, "").split("\n");
    const invalid = [];
    lines.forEach((line, index) => {
        if (!validate(JSON.parse(line))) {
            invalid.push({ line: index + 1, errors: validate.errors.map(shorten) });
        }
    });
    files[path] = { lines: lines.length, invalid };
}
console.log(JSON.stringify({ warnings, files }));
