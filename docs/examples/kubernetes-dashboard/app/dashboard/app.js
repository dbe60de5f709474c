"use strict";

// The login of the Kubernetes dashboard: the server hands out a jweToken and
// keeps nothing; the page stores it in a Secure cookie and sends it as a header.

const cookieName = "jweToken";

function storedToken() {
  const found = document.cookie.split("; ").find((c) => c.startsWith(cookieName + "="));
  return found ? found.slice(cookieName.length + 1) : "";
}

// Browsers drop a Secure cookie on plain http, except on a loopback address.
// The check makes this page behave there as it does on a node's address.
function storeToken(token) {
  if (location.protocol === "https:") {
    document.cookie = `${cookieName}=${token}; Secure; SameSite=Strict`;
  }
}

function forgetToken() {
  document.cookie = `${cookieName}=; Secure; SameSite=Strict; Max-Age=0`;
}

async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (storedToken()) {
    headers[cookieName] = storedToken();
  }
  const response = await fetch(path, { ...options, headers });
  if (response.headers.get("Content-Type") !== "application/json") {
    throw new Error(`${path}: the answer, ${response.status}, is not the dashboard's own.`);
  }
  const body = await response.json();
  if (!response.ok) {
    throw new Error(body.error);
  }
  return body;
}

async function login(token) {
  const csrf = await call("api/v1/csrftoken/login");
  const answer = await call("api/v1/login", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-TOKEN": csrf.token },
    body: JSON.stringify({ token }),
  });
  storeToken(answer.jweToken);
  return storedToken() === answer.jweToken;
}

function fillTable(id, value) {
  const rows = Object.entries(value).map(([name, cell]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    const data = document.createElement("td");
    head.textContent = name;
    data.textContent = String(cell);
    row.append(head, data);
    return row;
  });
  document.getElementById(id).replaceChildren(...rows);
}

function say(text, kind) {
  const message = document.getElementById("message");
  message.textContent = text;
  message.className = kind;
}

async function refresh() {
  const status = await call("api/v1/login/status");
  fillTable("status", status);
  const { headers, ...request } = await call("api/v1/request");
  fillTable("request", { ...request, ...headers });
  const list = document.getElementById("namespaces");
  list.replaceChildren();
  if (status.headerPresent) {
    const { namespaces } = await call("api/v1/namespace");
    list.append(...namespaces.map((name) => {
      const item = document.createElement("li");
      item.textContent = name;
      return item;
    }));
  }
  return status.headerPresent;
}

async function showState() {
  const loggedIn = await refresh();
  say(loggedIn ? "Signed in. The namespaces of this cluster:" : "Not signed in.", loggedIn ? "good" : "");
}

function report(error) {
  say(error.message, "bad");
}

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    if (await login(document.getElementById("token").value.trim())) {
      await showState();
    } else {
      say("The token is right, but this page came over plain http, where a Secure cookie is not kept. Open it over https.", "bad");
    }
  } catch (error) {
    report(error);
  }
});

document.getElementById("logout").addEventListener("click", () => {
  forgetToken();
  showState().catch(report);
});

showState().catch(report);
