-- redirect-v1 redirects a request whose URL the filter before it has changed. That filter has read the URL asked for
-- from a header and put what a regex makes of it into the metadata; a request that it leaves as it is goes on.
-- The status comes from the route's filter_context ({reading: 302, other: 307}). The text is constant: a change of
-- behaviour is a new name, because data planes without Lua know a script by name and SHA-256.

local namespace = "postern.redirect-v1"
local header = "x-envoy-postern-url"
-- The filter before writes no longer value.
local longest = 8 * 1024

-- whole tells whether text is a URL with a scheme and a host: what a client would take for another, a header for two or
-- a browser for a host with a user is none.
local function whole(text)
  local host = text:match("^%a[%w+.-]*://([^/?#]+)")
  return host ~= nil and not host:find("[^%w._~:%[%]-]") and not text:find("[^\33-\126]")
end

local function answer(handle, status, location)
  local headers = {[":status"] = tostring(math.floor(status)), ["content-type"] = "text/plain"}
  if location ~= nil then
    headers["location"] = location
  end
  handle:respond(headers, tostring(math.floor(status)) .. "\n")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local asked = headers:get(header)
  local method = headers:get(":method")
  headers:remove(header)
  if asked == nil then
    return
  end
  local url = (handle:streamInfo():dynamicMetadata():get(namespace) or {}).url
  if url == asked then
    return
  end
  if #asked >= longest then
    answer(handle, 414)
    return
  end
  if url == nil or not whole(url) then
    answer(handle, 502)
    return
  end
  local context = handle:filterContext()
  if method == "GET" or method == "HEAD" then
    answer(handle, context:get("reading"), url)
  else
    answer(handle, context:get("other"), url)
  end
end
