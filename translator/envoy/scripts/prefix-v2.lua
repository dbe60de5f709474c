-- prefix-v2 puts a response's Location and cookie paths back under the path prefix that the route stripped.
-- What a filter answers by itself, as the authorizer does, is about the client's own paths and is left alone.
-- The prefix comes from the route's filter_context ({prefix: "/k8s"}). The text is constant: a change of behaviour
-- is a new name, because data planes without Lua know a script by name and SHA-256.

local namespace = "postern.prefix-v2"

-- under tells whether path is the prefix or begins with it at an element boundary; ends holds the characters that,
-- besides "/", end an element.
local function under(path, prefix, ends)
  if path:sub(1, #prefix) ~= prefix then
    return false
  end
  local following = path:sub(#prefix + 1, #prefix + 1)
  return following == "" or following == "/" or (ends ~= "" and ends:find(following, 1, true) ~= nil)
end

-- host is an authority without its port, in lower case.
local function host(authority)
  return (authority:gsub(":%d*$", ""):lower())
end

local function location(value, prefix, authority)
  if value:sub(1, 1) == "/" then
    if value:sub(2, 2) == "/" or under(value, prefix, "?#") then
      return value
    end
    return prefix .. value
  end
  local scheme, other, rest = value:match("^(%a+)://([^/?#]*)(.*)$")
  if scheme == nil or host(other) ~= host(authority) then
    return value
  end
  local lower = scheme:lower()
  if lower ~= "http" and lower ~= "https" then
    return value
  end
  if rest:sub(1, 1) ~= "/" then
    rest = "/" .. rest
  end
  if under(rest, prefix, "?#") then
    return value
  end
  return scheme .. "://" .. other .. prefix .. rest
end

local function cookie(value, prefix)
  local attributes = value:find(";", 1, true)
  -- Browsers accept a __Host- cookie with Path=/ only, whatever the case of the name.
  if attributes == nil or value:match("^[ \t]*(.*)$"):sub(1, 7):lower() == "__host-" then
    return value
  end
  local changed = value:sub(attributes):gsub("(;[ \t]*[Pp][Aa][Tt][Hh][ \t]*=[ \t]*)(/[^;]*)", function(lead, path)
    local kept, space = path:match("^(.-)([ \t]*)$")
    if under(kept, prefix, "") then
      return nil
    end
    if kept == "/" then
      return lead .. prefix .. space
    end
    return lead .. prefix .. path
  end)
  return value:sub(1, attributes - 1) .. changed
end

-- each puts change(value) in the place of every value of a header, and leaves the header alone where none differs.
local function each(headers, name, change)
  local values, differs = {}, false
  for i = 0, headers:getNumValues(name) - 1 do
    local old = headers:getAtIndex(name, i)
    local new = change(old)
    values[#values + 1] = new
    differs = differs or new ~= old
  end
  if differs then
    headers:remove(name)
    for _, value in ipairs(values) do
      headers:add(name, value)
    end
  end
end

-- The router may rewrite :authority for the backend, and a Location is compared with what the client asked for. A request
-- that comes here is passed on: all filters that may answer stand before.
function envoy_on_request(handle)
  handle:streamInfo():dynamicMetadata():set(namespace, "authority", handle:headers():get(":authority") or "")
end

function envoy_on_response(handle)
  local prefix = handle:filterContext():get("prefix")
  if prefix == nil or prefix == "" then
    return
  end
  local saved = handle:streamInfo():dynamicMetadata():get(namespace)
  if saved == nil then
    return
  end
  local headers = handle:headers()
  each(headers, "location", function(value) return location(value, prefix, saved.authority or "") end)
  each(headers, "set-cookie", function(value) return cookie(value, prefix) end)
end
