// Talking to the desk: JSON in and out, each refusal one sentence.

export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response.json();
  let text = `The desk answered ${response.status}.`;
  try {
    const body = await response.json();
    text = body.error || body.detail || text;
  } catch { /* no JSON: the status says it */ }
  throw new Refusal(text, response.status);
}

async function reached(promise) {
  try {
    return await promise;
  } catch {
    throw new Refusal("The desk does not answer. Is osor-video ui still running?", 0);
  }
}

export async function ask(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  return answer(await reached(fetch(`/api/${path}`, options)));
}

export function upload(file, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/upload?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => event.lengthComputable && tell(event.loaded / event.total);
    request.onerror = () => reject(new Refusal("The clip did not arrive: it may be larger than the desk takes. Type its path instead.", 0));
    request.onload = () => answer(new Response(request.responseText, { status: request.status })).then(resolve, reject);
    request.send(file);
  });
}

export async function picture(path) {
  const response = await reached(fetch(path));
  if (!response.ok) await answer(response);
  return createImageBitmap(await response.blob());
}
