// A page of another origin: gRPC-Web by nothing but `fetch`, and device proofs by WebCrypto. It sends what it has seen to
// the server that it comes from.

const query = new URLSearchParams(location.search);
const server = query.get("server");

const REGISTER = "/hivesync.v1.AuthService/Register";
const LOGIN = "/hivesync.v1.AuthService/Login";
const GET_ME = "/hivesync.v1.UserService/GetMe";
const STREAM = "/hivesync.v1.NotificationService/StreamNotifications";
const PASSWORD = "Correct-Horse-7-Battery";
const PLATFORM_WEB = 4;
const DEVICE_ADDED = 1;

// Protocol buffers: messages of strings and numbers.

function varint(number) {
  const bytes = [];
  for (; number > 0x7f; number = Math.floor(number / 128)) bytes.push((number % 128) | 0x80);
  return [...bytes, number];
}

function encode(fields) {
  return new Uint8Array(fields.flatMap(([field, value]) => {
    if (typeof value === "number") return [...varint(field * 8), ...varint(value)];
    const bytes = new TextEncoder().encode(value);
    return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];
  }));
}

// Field number to values: numbers, and bytes of whatever has a length.
function decode(bytes) {
  const fields = new Map();
  let at = 0;
  const number = () => {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = number();
    let value = number();
    if (tag % 8 === 2) value = bytes.slice(at, at += value);
    const field = Math.floor(tag / 8);
    fields.set(field, [...(fields.get(field) ?? []), value]);
  }
  return fields;
}

const text = (bytes) => new TextDecoder().decode(bytes);
const textOf = (fields, field) => text(fields.get(field)?.[0] ?? new Uint8Array());

// gRPC-Web: frames in the body of an answer, the last of them with the trailers.

class Refusal extends Error {
  constructor(get) {
    super(decodeURIComponent(get("grpc-message") ?? ""));
    const status = decode(Uint8Array.from(atob(get("grpc-status-details-bin") ?? ""), (c) => c.charCodeAt(0)));
    const details = (status.get(3) ?? []).map(decode).map((any) => [textOf(any, 1), decode(any.get(2)[0])]);
    const detail = (name) => details.find(([kind]) => kind === `type.googleapis.com/google.rpc.${name}`)?.[1];
    this.seen = {
      code: Number(get("grpc-status")),
      message: this.message,
      reason: textOf(detail("ErrorInfo") ?? new Map(), 1),
      request_id: textOf(detail("RequestInfo") ?? new Map(), 1),
      correlation_id: get("correlation-id"),
    };
  }
}

async function* frames(body) {
  let rest = new Uint8Array();
  for await (const chunk of body) {
    rest = new Uint8Array([...rest, ...chunk]);
    while (rest.length >= 5) {
      const end = 5 + new DataView(rest.buffer, rest.byteOffset).getUint32(1);
      if (rest.length < end) break;
      yield [rest[0], rest.slice(5, end)];
      rest = rest.slice(end);
    }
  }
}

async function* call(method, message, headers = {}, signal = undefined) {
  const bytes = encode(message);
  const frame = new Uint8Array(5 + bytes.length);
  new DataView(frame.buffer).setUint32(1, bytes.length);
  frame.set(bytes, 5);
  const answer = await fetch(server + method, {
    method: "POST",
    headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1", ...headers },
    body: frame,
    signal,
  });
  // What is refused at once has its status in the headers.
  if ((answer.headers.get("grpc-status") ?? "0") !== "0") throw new Refusal((name) => answer.headers.get(name));
  for await (const [kind, payload] of frames(answer.body)) {
    if (kind === 0) {
      yield decode(payload);
    } else {
      const trailers = new Map(text(payload).trim().split("\r\n").map((line) => line.split(/:\s*/, 2)));
      if (trailers.get("grpc-status") !== "0") throw new Refusal((name) => trailers.get(name));
      return trailers;
    }
  }
  throw new Error("the answer ended without trailers");
}

async function unary(method, message, headers) {
  const answers = call(method, message, headers);
  const { value } = await answers.next();
  const { done, value: trailers } = await answers.next();
  if (!done) throw new Error("more than one answer");
  return [value, trailers];
}

async function refusal(attempt) {
  try {
    await attempt;
    return null;
  } catch (error) {
    return error.seen ?? String(error);
  }
}

// Device proofs (RFC 9449).

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

class Device {
  static async make() {
    const device = new Device();
    device.keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
    const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", device.keys.publicKey);
    device.header = { typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } };
    return device;
  }

  async prove(method) {
    const claims = {
      jti: crypto.randomUUID(),
      htm: "POST",
      htu: `https://${new URL(server).host}${method}`,
      iat: Math.floor(Date.now() / 1000),
    };
    const parts = [this.header, claims].map((part) => base64url(new TextEncoder().encode(JSON.stringify(part))));
    const input = parts.join(".");
    const algorithm = { name: "ECDSA", hash: "SHA-256" };
    const signature = await crypto.subtle.sign(algorithm, this.keys.privateKey, new TextEncoder().encode(input));
    return { dpop: `${input}.${base64url(new Uint8Array(signature))}` };
  }
}

async function signIn(email) {
  const message = [[1, email], [2, PASSWORD], [3, "a browser"], [4, PLATFORM_WEB]];
  const [tokens] = await unary(LOGIN, message, await (await Device.make()).prove(LOGIN));
  return { authorization: `Bearer ${textOf(tokens, 1)}` };
}

async function firstPath() {
  const email = query.get("email");
  await unary(REGISTER, [[1, email], [2, PASSWORD], [3, "Tim"]]);
  const bearer = await signIn(email);
  const [me, trailers] = await unary(GET_ME, [], bearer);

  const end = new AbortController();
  const stream = call(STREAM, [[2, 1]], bearer, end.signal);
  const stands = (await stream.next()).value;
  await signIn(email);
  let batch = (await stream.next()).value;
  while (!batch.has(1)) batch = (await stream.next()).value;
  end.abort();

  return {
    email: textOf(me, 2),
    trailers: Object.fromEntries(trailers),
    stands: !stands.has(1),
    told: decode(batch.get(1)[0]).get(3)[0] === DEVICE_ADDED,
    unauthenticated: await refusal(unary(GET_ME, [])),
    invalid: await refusal(unary(REGISTER, [[1, "nobody"]])),
    unlisted_header: await refusal(unary(GET_ME, [], { ...bearer, "x-unlisted": "1" })),
    with_credentials: await refusal(fetch(server + GET_ME, { method: "POST", credentials: "include" })),
  };
}

// What a page may send without being asked: a form's content types, and no headers of its own.
async function forgery() {
  const fields = encode([[1, query.get("email")], [2, PASSWORD], [3, "Eve"]]);
  const body = new Blob([new Uint8Array([0, 0, 0, 0, fields.length]), fields]);
  const answer = await fetch(server + REGISTER, { method: "POST", mode: "no-cors", body });
  return { opaque: answer.type === "opaque", refused: await refusal(unary(GET_ME, [])) };
}

const scenarios = { listed: firstPath, unlisted: forgery };
const report = await scenarios[query.get("scenario")]().catch((error) => ({ failed: `${error}\n${error.stack}` }));
await fetch("report", { method: "POST", body: JSON.stringify(report) });
location = query.get("next");
