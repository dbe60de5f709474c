-- error-body-v1 empties an answer in whose place error-pages-v1 puts a page, as it comes: an answer that is held back
-- until its end must fit Envoy's buffers. The statuses come from the route's filter_context, as there. The text is
-- constant: a change of behaviour is a new name, because data planes without Lua know a script by name and SHA-256.

-- Of a request that the gateway has refused before error-pages-v1 saw it, the answer stays.
local saved = "postern.error-pages-v1"

local function replaced(handle, status)
  if status < 200 or handle:streamInfo():dynamicMetadata():get(saved) == nil or status == 204 or status == 304 then
    return false
  end
  for _, one in ipairs(handle:filterContext():get("pages") or {}) do
    if status >= one.from and status <= one.to then
      return true
    end
  end
  return false
end

function envoy_on_response(handle)
  if not replaced(handle, tonumber(handle:headers():get(":status"))) then
    return
  end
  for chunk in handle:bodyChunks() do
    chunk:setBytes("")
  end
end
