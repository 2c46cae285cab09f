// Reads content credentials with npm's @contentauth/c2pa-wasm: node read_c2pa.mjs FOLDER FORMAT FILE [ANCHORS.pem]
// FOLDER holds node_modules; prints one JSON document: {"state": ..., "store": ...} or {"error": ...}. No network is used.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, format, file, anchors] = process.argv.slice(2);
globalThis.fetch = () => { throw new Error("the reader asked for the network"); };
const place = join(folder, "node_modules", "@contentauth", "c2pa-wasm", "pkg");
const sdk = await import(pathToFileURL(join(place, "c2pa.js")).href);
sdk.initSync({ module: readFileSync(join(place, "c2pa_bg.wasm")) });
const settings = {
  version: 1,
  trust: anchors ? { user_anchors: readFileSync(anchors, "utf8"), trust_config: "1.3.6.1.5.5.7.3.4\n1.3.6.1.4.1.62558.2.1\n1.3.6.1.5.5.7.3.8\n" } : {},
  verify: { verify_trust: true, remote_manifest_fetch: false, ocsp_fetch: false },
};
try {
  const reader = await sdk.WasmReader.fromBytes(format, readFileSync(file), JSON.stringify(settings));
  const store = JSON.parse(reader.json());
  console.log(JSON.stringify({ state: store.validation_state, store }));
} catch (error) {
  console.log(JSON.stringify({ error: String(error) }));
}
