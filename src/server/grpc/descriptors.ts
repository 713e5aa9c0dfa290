/** The checked-in descriptors of proto/, by file and by symbol, for reflection. Read when they are first asked for. */
import { ProtoReader } from "../../core/wire/proto-reader.ts";

export interface DescriptorFile {
  readonly name: string;
  readonly imports: readonly string[];
  /** An encoded `google.protobuf.FileDescriptorProto`. */
  readonly bytes: Uint8Array;
}

export interface Descriptors {
  readonly files: ReadonlyMap<string, DescriptorFile>;
  /** The file that declares a message, an enum, a service or a method, by full name. */
  readonly symbols: ReadonlyMap<string, DescriptorFile>;
}

const BYTES = 2;
const tagOf = (field: number): number => (field << 3) | BYTES;
const SET_FILE = tagOf(1);
const FILE_NAME = tagOf(1);
const FILE_PACKAGE = tagOf(2);
const FILE_DEPENDENCY = tagOf(3);
const FILE_MESSAGE = tagOf(4);
const FILE_ENUM = tagOf(5);
const FILE_SERVICE = tagOf(6);
/** Of messages, enums, services and methods alike. */
const NAME = tagOf(1);
const MESSAGE_NESTED = tagOf(3);
const MESSAGE_ENUM = tagOf(4);
const SERVICE_METHOD = tagOf(2);

/** `set` is an encoded `google.protobuf.FileDescriptorSet`. Errors: `usage` for bytes that are none. */
export function readDescriptors(set: Uint8Array): Descriptors {
  const files = new Map<string, DescriptorFile>();
  const symbols = new Map<string, DescriptorFile>();
  for (const [tag, bytes] of fieldsOf(set)) {
    if (tag === SET_FILE) readFile(bytes, files, symbols);
  }
  return { files, symbols };
}

function readFile(
  bytes: Uint8Array,
  files: Map<string, DescriptorFile>,
  symbols: Map<string, DescriptorFile>,
): void {
  const fields = fieldsOf(bytes);
  const texts = (wanted: number): string[] =>
    fields.filter(([tag]) => tag === wanted).map(([, value]) => Buffer.from(value).toString());
  const file = { name: texts(FILE_NAME)[0] ?? "", imports: texts(FILE_DEPENDENCY), bytes };
  const scope = texts(FILE_PACKAGE)[0] ?? "";
  const add = (name: string): void => {
    symbols.set(name, file);
  };
  files.set(file.name, file);
  for (const [tag, value] of fields) {
    if (tag === FILE_MESSAGE) addMessage(value, scope, add);
    else if (tag === FILE_ENUM) add(nameOf(value, scope));
    else if (tag === FILE_SERVICE) addService(value, scope, add);
  }
}

function addMessage(bytes: Uint8Array, scope: string, add: (name: string) => void): void {
  const name = nameOf(bytes, scope);
  add(name);
  for (const [tag, value] of fieldsOf(bytes)) {
    if (tag === MESSAGE_NESTED) addMessage(value, name, add);
    else if (tag === MESSAGE_ENUM) add(nameOf(value, name));
  }
}

function addService(bytes: Uint8Array, scope: string, add: (name: string) => void): void {
  const name = nameOf(bytes, scope);
  add(name);
  for (const [tag, value] of fieldsOf(bytes)) if (tag === SERVICE_METHOD) add(nameOf(value, name));
}

function nameOf(bytes: Uint8Array, scope: string): string {
  const found = fieldsOf(bytes).find(([tag]) => tag === NAME);
  const name = found === undefined ? "" : Buffer.from(found[1]).toString();
  return scope === "" ? name : `${scope}.${name}`;
}

/** The length-delimited fields of a message; others are skipped. */
function fieldsOf(bytes: Uint8Array): (readonly [tag: number, value: Uint8Array])[] {
  const reader = new ProtoReader(bytes);
  const fields: (readonly [number, Uint8Array])[] = [];
  while (reader.offset < reader.length) {
    const tag = reader.varint();
    if ((tag & 7) === BYTES) fields.push([tag, reader.bytes()]);
    else reader.skip(tag);
  }
  return fields;
}
