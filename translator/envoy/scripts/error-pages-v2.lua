-- error-pages-v2 answers in an error's place with a page of another backend, under the error's own status.
-- The pages come from the route's filter_context ({pages: [{from: 500, to: 599, cluster: "a", host: "b", path: "/c"}]}):
-- of those whose statuses hold the answer's, the first counts. error-body-v1, behind it, has emptied the answer by then.
-- The text is constant: a change of behaviour is a new name, because data planes without Lua know a script by name and
-- SHA-256.

-- error-body-v1 looks there too.
local namespace = "postern.error-pages-v1"

-- How long a page may take, in milliseconds.
local timeout = 5000

-- A page is asked for by itself: nothing of the request's body or connection goes along, and nothing by which it could be
-- answered in part or not at all.
local unsent = {
  ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true, ["http2-settings"] = true,
  ["if-match"] = true, ["if-modified-since"] = true, ["if-none-match"] = true, ["if-range"] = true,
  ["if-unmodified-since"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["range"] = true, ["te"] = true,
  ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
}

-- What of a page's headers is its connection's.
local unkept = {
  ["connection"] = true, ["content-length"] = true, ["keep-alive"] = true, ["proxy-connection"] = true,
  ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true,
}

-- page is the first page for a status. Some answers are never replaced: those that have no body.
local function page(handle, status)
  if status < 200 or status == 204 or status == 304 then
    return nil
  end
  for _, one in ipairs(handle:filterContext():get("pages") or {}) do
    if status >= one.from and status <= one.to then
      return one
    end
  end
  return nil
end

-- replace puts headers in the place of all that an answer has, but for the status, and for the one that no error may take
-- back.
local function replace(headers, by)
  local old = {}
  for name in pairs(headers) do
    old[#old + 1] = name
  end
  for _, name in ipairs(old) do
    if name:sub(1, 1) ~= ":" and name ~= "strict-transport-security" then
      headers:remove(name)
    end
  end
  for name, values in pairs(by) do
    if name:sub(1, 1) ~= ":" and name:sub(1, 8) ~= "x-envoy-" and name ~= "strict-transport-security" and not unkept[name] then
      for _, value in ipairs(type(values) == "table" and values or {values}) do
        headers:add(name, value)
      end
    end
  end
end

function envoy_on_request(handle)
  local method, names, values = "", {}, {}
  for name, value in pairs(handle:headers()) do
    if name == ":method" then
      method = value
    elseif name:sub(1, 1) ~= ":" and name:sub(1, 8) ~= "x-envoy-" and not unsent[name] then
      names[#names + 1], values[#values + 1] = name, value
    end
  end
  handle:streamInfo():dynamicMetadata():set(namespace, "request", {method = method, names = names, values = values})
end

function envoy_on_response(handle)
  local saved = (handle:streamInfo():dynamicMetadata():get(namespace) or {}).request
  local status = tonumber(handle:headers():get(":status"))
  local one = page(handle, status)
  -- Without a saved request the gateway has refused it before it came here.
  if saved == nil or one == nil then
    return
  end
  -- The answer to HEAD has no body. Any other is waited for: one that came during the call could not be replaced.
  local bodied = saved.method ~= "HEAD"
  if bodied then
    handle:body(true)
  end
  local request = {}
  for i, name in ipairs(saved.names or {}) do
    request[name] = request[name] or {}
    request[name][#request[name] + 1] = saved.values[i]
  end
  request[":method"], request[":authority"] = "GET", one.host
  -- Envoy would take it from x-forwarded-proto as it is written there, and HTTP/2 knows it in lower case only.
  local proto = request["x-forwarded-proto"] or {}
  request[":scheme"] = proto[1] and proto[1]:lower() == "https" and "https" or "http"
  request[":path"] = one.path:gsub("{status}", tostring(status))
  local headers, content = handle:httpCall(one.cluster, request, nil, {
    timeout_ms = timeout, send_xff = false, return_duplicate_headers = true,
  })
  -- Envoy puts this header on what a backend answered, and not on what it says itself where none did.
  if headers["x-envoy-upstream-service-time"] == nil then
    headers, content = {["content-type"] = "text/plain"}, tostring(status) .. "\n"
  end
  replace(handle:headers(), headers)
  if bodied then
    handle:body(true):setBytes(content or "")
  end
end
