-- base-v2 puts the base element of a page under the path prefix that the route stripped: <base href="/app/"> becomes
-- <base href="/k8s/app/">. With insert, a page without one gets <base href="/k8s/"> too.
-- The route's filter_context holds prefix ("/k8s", as it is written in an attribute's value) and insert (true, or not
-- there). What a filter answers by itself, as the authorizer does with a page to log in by, is no page of the backend's
-- and is left alone. The text is constant: a change of behaviour is a new name, because data planes without Lua know a script by
-- name and SHA-256. docs/design/rewrite-base.md says what it does and why.

local namespace = "postern.base-v2"

-- limit is how many bytes of a page are looked at.
local limit = 65536

-- Bytes are numbers throughout: LuaJIT compiles that, and takes a tenth of the time that its patterns do.
local byte, char = string.byte, string.char
local lt, gt, slash, equals, quote, apostrophe, bang, question, dash, dot, hash, backslash =
  byte("<>/=\"'!?-.#\\", 1, -1)

local function set(text)
  local out = {}
  for i = 1, #text do
    out[byte(text, i)] = true
  end
  return out
end

local blank = set("\t\n\f\r ")
local letter = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
local ends_tag_name = set("\t\n\f\r />")
local ends_name = set("\t\n\f\r />=")
local ends_value = set("\t\n\f\r >")
local ends_element = set("\t\n\f\r /?#")
local only_lt, only_gt, only_dash = set("<"), set(">"), set("-")
local only = {[quote] = set('"'), [apostrophe] = set("'")}
local not_blank = {}
for c = 0, 255 do
  not_blank[c] = not blank[c]
end

-- raw are the elements whose content is no markup; it ends with their own end tag.
local raw = {
  iframe = true, noembed = true, noframes = true, noscript = true, script = true, style = true, textarea = true,
  title = true, xmp = true,
}

-- before are the elements that may stand before a base element (HTML, 4.2.3: what takes a URL may not).
local before = {html = true, head = true, meta = true, title = true, base = true}

-- before_max is the length of the longest of their names; name_max is longer than any name of interest.
local before_max, name_max = 5, 16

-- more lets the chunk at hand flow, but for what is held back, and takes the next; false where nothing more is looked
-- at. Only the name of the tag that is being read is ever held back, so a page is never gathered.
local function more(page)
  if page.seen == limit then
    return false
  end
  local kept = page.hold and page.bytes:sub(page.hold) or ""
  local sent = page.out .. page.bytes:sub(page.from, #page.bytes - #kept)
  if page.chunk and (page.changed or kept ~= "") then
    page.chunk:setBytes(sent)
  end
  local chunk = page.chunks()
  if chunk == nil then
    if kept ~= "" then
      -- Where trailers end the body, its last chunk is gone by now, and with it the beginning of a tag at the very end.
      pcall(page.chunk.setBytes, page.chunk, sent .. kept)
    end
    page.seen, page.chunk = limit, nil
    return false
  end
  local arrived = chunk:getBytes(0, chunk:length())
  local looked = math.min(#arrived, limit - page.seen)
  page.chunk, page.bytes, page.out, page.from, page.changed = chunk, kept .. arrived, "", 1, kept ~= ""
  page.seen, page.at, page.last = page.seen + looked, #kept + 1, #kept + looked
  page.hold = page.hold and 1
  return true
end

-- insert puts text before the byte at.
local function insert(page, at, text)
  page.out = page.out .. page.bytes:sub(page.from, at - 1) .. text
  page.from, page.changed = at, true
end

-- finish lets the chunk at hand flow, and the rest of the page unseen.
local function finish(page)
  if page.chunk and page.changed then
    page.chunk:setBytes(page.out .. page.bytes:sub(page.from))
  end
end

-- peek is the next byte; nil at the end.
local function peek(page)
  while page.at > page.last do
    if not more(page) then
      return nil
    end
  end
  return byte(page.bytes, page.at)
end

-- step goes on and is the byte after the next one.
local function step(page)
  page.at = page.at + 1
  return peek(page)
end

-- seek goes to the next byte of a set, and is that byte; nil at the end.
local function seek(page, wanted)
  repeat
    local bytes, last = page.bytes, page.last
    for at = page.at, last do
      local c = byte(bytes, at)
      if wanted[c] then
        page.at = at
        return c
      end
    end
    page.at = last + 1
  until not more(page)
  return nil
end

-- beyond goes behind the next byte of a set.
local function beyond(page, wanted)
  if seek(page, wanted) then
    page.at = page.at + 1
  end
end

-- word reads up to a byte of the set ends, or until it has max bytes: what it read in lower case, and the next byte.
local function word(page, ends, max)
  local text, c = "", peek(page)
  while c and #text < max and not ends[c] do
    text, c = text .. char(c), step(page)
  end
  return text:lower(), c
end

-- comment reads a comment behind its <!--.
local function comment(page)
  -- The dashes just read, with and without those of <!--: <!--> is a whole comment, and --!> ends one.
  local all, own, banged = 2, 0, false
  while true do
    local c
    if all == 0 and not banged then
      c = seek(page, only_dash)
    else
      c = peek(page)
    end
    if c == nil then
      return
    end
    page.at = page.at + 1
    if c == dash then
      all, own, banged = all + 1, own + 1, false
    elseif c == gt and (all >= 2 or banged) then
      return
    else
      all, own, banged = 0, 0, c == bang and own >= 2
    end
  end
end

-- declaration reads what begins with <!: a comment, or anything else up to a >.
local function declaration(page)
  if peek(page) == dash and step(page) == dash then
    page.at = page.at + 1
    comment(page)
    return
  end
  beyond(page, only_gt)
end

-- address puts a base's href under the prefix; last is the byte that ends the value.
local function address(page, last, prefix, inserts)
  local c = seek(page, not_blank)
  if c ~= slash then
    -- A relative base counts from the page's own address, which lacks the slash where inserts says so.
    if inserts and (c == dot or c == last) then
      insert(page, page.at, prefix .. "/")
    end
    return
  end
  local n = 0
  while c and c == byte(prefix, n + 1) do
    n, c = n + 1, step(page)
  end
  local under = n == #prefix and (c == last or ends_element[c])
  local to_host = n == 1 and (c == slash or c == backslash)
  if c and not under and not to_host then
    -- What went by is the beginning of the prefix too: with the rest of the prefix and itself again it is both.
    insert(page, page.at, prefix:sub(n + 1) .. prefix:sub(1, n))
  end
end

-- attributes reads to the end of a tag. Behind the = of the first href it calls found, where that is given, with the
-- byte that ends the value, and reads no further; the result is true then.
local function attributes(page, found)
  local c = peek(page)
  while c and c ~= gt do
    if c == slash or blank[c] then
      c = step(page)
    else
      page.at = page.at + 1 -- a name may begin with a =
      local wanted = false
      if found then
        wanted = char(c):lower() .. word(page, ends_name, name_max) == "href"
      end
      seek(page, ends_name)
      c = seek(page, not_blank)
      if c == equals then
        page.at = page.at + 1
        c = seek(page, not_blank)
        local quoted = only[c]
        if quoted then
          page.at = page.at + 1
        end
        if wanted then
          found(quoted and c or gt)
        elseif quoted then
          beyond(page, quoted)
        else
          seek(page, ends_value)
        end
        c = peek(page)
      end
      if wanted then
        return true
      end
    end
  end
  page.at = page.at + 1
  return false
end

-- content reads the content of a raw element and its end tag.
local function content(page, name)
  while seek(page, only_lt) do
    local c, n = step(page), 0
    if c == slash then
      c = step(page)
      while c and n < #name and char(c):lower() == name:sub(n + 1, n + 1) do
        n, c = n + 1, step(page)
      end
      if n == #name and ends_tag_name[c] then
        attributes(page)
        return
      end
    end
  end
end

-- scan looks for the base element, changes it or inserts one, and is done.
local function scan(page, prefix, inserts)
  local function found(last)
    address(page, last, prefix, inserts)
  end
  while seek(page, only_lt) do
    page.hold = inserts and page.at or nil
    local c = step(page)
    if letter[c] then
      local name, following = word(page, ends_tag_name, inserts and before_max + 1 or name_max)
      if inserts and not before[name] and (following or #name > before_max) then
        insert(page, page.hold, '<base href="' .. prefix .. '/">')
        return
      end
      page.hold = nil
      seek(page, ends_tag_name)
      if attributes(page, name == "base" and found) then
        return
      end
      if raw[name] then
        content(page, name)
      end
    else
      page.hold = nil
      if c == bang then
        page.at = page.at + 1
        declaration(page)
      elseif c == question then
        beyond(page, only_gt)
      elseif c == slash then
        if letter[step(page)] then
          seek(page, ends_tag_name)
          attributes(page)
        else
          beyond(page, only_gt)
        end
      end
    end
  end
end

-- weaken says that the bytes may differ while the page is the same (RFC 9110, 8.8.1).
local function weaken(headers)
  local tag = headers:get("etag")
  if tag ~= nil and byte(tag) == quote then
    headers:replace("etag", "W/" .. tag)
  end
end

-- prepare says whether the response is a page that can be changed, and has its headers promise nothing of its bytes.
local function prepare(headers)
  local status, encoding = headers:get(":status"), headers:get("content-encoding") or ""
  if status == "304" then
    -- It names no type; its tag must be the page's.
    weaken(headers)
    return false
  end
  local kind = headers:get("content-type") or ""
  kind = kind:match("^[ \t]*(.-)[ \t]*;") or kind:match("^[ \t]*(.-)[ \t]*$")
  if status == "101" or status == "206" or kind:lower() ~= "text/html" or encoding ~= "" and encoding:lower() ~= "identity" then
    return false
  end
  weaken(headers)
  for _, name in ipairs({"content-length", "accept-ranges", "content-digest", "repr-digest", "digest", "content-md5"}) do
    headers:remove(name)
  end
  return true
end

-- A request that comes here is passed on: all filters that may answer stand before.
function envoy_on_request(handle)
  handle:streamInfo():dynamicMetadata():set(namespace, "passed", true)
end

function envoy_on_response(handle)
  if handle:streamInfo():dynamicMetadata():get(namespace) == nil then
    return
  end
  local context = handle:filterContext()
  local prefix, inserts = context:get("prefix"), context:get("insert")
  if prefix == nil or prefix == "" or not prepare(handle:headers()) then
    return
  end
  local page = {chunks = handle:bodyChunks(), bytes = "", out = "", from = 1, at = 1, last = 0, seen = 0}
  scan(page, prefix, inserts)
  finish(page)
end
