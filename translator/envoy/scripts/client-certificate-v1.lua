-- client-certificate-v1 tells the backend of the client's certificate, as Traefik 1.7 does: whole in
-- X-Forwarded-Tls-Client-Cert, and what is asked of it in X-Forwarded-Tls-Client-Cert-Infos. What the client itself says
-- in these never gets through. The route's filter_context says what is wanted: {pem: true, infos: true, notbefore: true,
-- notafter: true, sans: true, subject: ["C", "CN"], issuer: ["O"]}. The text is constant: a change of behaviour is a new
-- name, because data planes without Lua know a script by name and SHA-256.

local certHeader, infosHeader = "x-forwarded-tls-client-cert", "x-forwarded-tls-client-cert-infos"

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local sextet = {}
for i = 1, #alphabet do
  sextet[alphabet:byte(i)] = i - 1
end

local function unbase64(text)
  local out, held, bits = {}, 0, 0
  for i = 1, #text do
    local value = sextet[text:byte(i)]
    if value ~= nil then
      held, bits = held * 64 + value, bits + 6
      if bits >= 8 then
        bits = bits - 8
        local high = math.floor(held / 2 ^ bits)
        out[#out + 1] = string.char(high)
        held = held - high * 2 ^ bits
      end
    end
  end
  return table.concat(out)
end

local function escape(text)
  return (text:gsub("[^%w%-_%.~ ]", function(c) return string.format("%%%02X", c:byte()) end):gsub(" ", "+"))
end

-- element is the tag of what stands at a place of DER, and where its content begins and ends.
local function element(der, at)
  local tag, length, first = der:byte(at), der:byte(at + 1), at + 2
  if length >= 128 then
    local count = length - 128
    length = 0
    for i = first, first + count - 1 do
      length = length * 256 + der:byte(i)
    end
    first = first + count
  end
  return tag, first, first + length - 1
end

-- each calls f(tag, first, last) for what stands one behind the other between two places.
local function each(der, from, to, f)
  while from <= to do
    local tag, first, last = element(der, from)
    f(tag, first, last)
    from = last + 1
  end
end

local function utf8(code)
  if code < 0x80 then
    return string.char(code)
  elseif code < 0x800 then
    return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
  end
  return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

-- textOf is a string of a name, whose tag tells its encoding: BMPString, T61String, else ASCII or UTF-8.
local function textOf(tag, bytes)
  if tag == 0x1E then
    return (bytes:gsub("(.)(.)", function(a, b) return utf8(a:byte() * 256 + b:byte()) end))
  elseif tag == 0x14 then
    return (bytes:gsub(".", function(a) return utf8(a:byte()) end))
  end
  return bytes
end

local attributes = {
  ["\85\4\3"] = "CN", ["\85\4\5"] = "SN", ["\85\4\6"] = "C", ["\85\4\7"] = "L", ["\85\4\8"] = "ST", ["\85\4\10"] = "O",
  ["\9\146\38\137\147\242\44\100\1\25"] = "DC",
}

-- name is the wanted attributes of a distinguished name. Of a common name and a serial number the last one counts.
local function name(label, der, first, last, wanted)
  local found = {}
  each(der, first, last, function(_, setFirst, setLast)
    each(der, setFirst, setLast, function(_, pairFirst, pairLast)
      local _, oidFirst, oidLast = element(der, pairFirst)
      local tag, valueFirst, valueLast = element(der, oidLast + 1)
      local attribute = attributes[der:sub(oidFirst, oidLast)]
      if attribute ~= nil then
        local value = textOf(tag, der:sub(valueFirst, valueLast))
        if attribute == "CN" or attribute == "SN" then
          found[attribute] = {value}
        else
          found[attribute] = found[attribute] or {}
          table.insert(found[attribute], value)
        end
      end
    end)
  end)
  local parts = {}
  for _, attribute in ipairs(wanted or {}) do
    for _, value in ipairs(found[attribute] or {}) do
      if value ~= "" or attribute == "DC" then
        parts[#parts + 1] = attribute .. "=" .. value
      end
    end
  end
  if #parts == 0 then
    return nil
  end
  return label .. '="' .. table.concat(parts, ",") .. '"'
end

-- unix is a time in seconds since 1970. UTCTime has two digits for the years from 1950 on.
local function unix(tag, text)
  local digits = text
  if tag == 0x17 then
    digits = (tonumber(text:sub(1, 2)) < 50 and "20" or "19") .. text
  end
  local year, month, day, hour, minute, second = digits:match("^(%d%d%d%d)(%d%d)(%d%d)(%d%d)(%d%d)(%d%d)Z$")
  year, month = tonumber(year), tonumber(month)
  -- A year that begins in March has its leap day at the end.
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  local days = 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + tonumber(day) - 719469
  return string.format("%.0f", ((days * 24 + tonumber(hour)) * 60 + tonumber(minute)) * 60 + tonumber(second))
end

-- address is an IP address: of IPv6 the longest run of zeros, two groups at least, is left out (RFC 5952), and what is an
-- IPv4 address in it is written as that.
local function address(bytes)
  if #bytes == 16 and bytes:sub(1, 12) == ("\0"):rep(10) .. "\255\255" then
    bytes = bytes:sub(13)
  end
  if #bytes == 4 then
    return table.concat({bytes:byte(1, 4)}, ".")
  end
  local groups, bestAt, bestLength, runAt = {}, 0, 1, 1
  for i = 1, 8 do
    groups[i] = bytes:byte(2 * i - 1) * 256 + bytes:byte(2 * i)
    if groups[i] ~= 0 then
      runAt = i + 1
    elseif i - runAt + 1 > bestLength then
      bestAt, bestLength = runAt, i - runAt + 1
    end
  end
  local before, after = {}, {}
  for i = 1, 8 do
    if bestAt == 0 or i < bestAt then
      before[#before + 1] = string.format("%x", groups[i])
    elseif i >= bestAt + bestLength then
      after[#after + 1] = string.format("%x", groups[i])
    end
  end
  if bestAt == 0 then
    return table.concat(before, ":")
  end
  return table.concat(before, ":") .. "::" .. table.concat(after, ":")
end

-- alternatives are the subject alternative names: of DNS, email, IP and URI, in this order.
local function alternatives(der, first, last)
  local kinds = {[0x82] = {}, [0x81] = {}, [0x87] = {}, [0x86] = {}}
  each(der, first, last, function(_, extensionFirst, extensionLast)
    local _, oidFirst, oidLast = element(der, extensionFirst)
    if der:sub(oidFirst, oidLast) ~= "\85\29\17" then
      return
    end
    local tag, valueFirst, valueLast = element(der, oidLast + 1)
    if tag == 1 then -- whether it is critical
      tag, valueFirst, valueLast = element(der, valueLast + 1)
    end
    local _, namesFirst, namesLast = element(der, valueFirst)
    each(der, namesFirst, namesLast, function(kind, nameFirst, nameLast)
      if kinds[kind] ~= nil then
        local value = der:sub(nameFirst, nameLast)
        table.insert(kinds[kind], kind == 0x87 and address(value) or value)
      end
    end)
  end)
  local out = {}
  for _, kind in ipairs({0x82, 0x81, 0x87, 0x86}) do
    for _, value in ipairs(kinds[kind]) do
      out[#out + 1] = value
    end
  end
  return table.concat(out, ",")
end

-- infos is what is wanted of one certificate (RFC 5280, 4.1).
local function infos(der, context)
  local _, certFirst = element(der, 1)
  local _, tbsFirst, tbsLast = element(der, certFirst)
  local fields, extensions = {}, nil
  each(der, tbsFirst, tbsLast, function(tag, first, last)
    if tag == 0xA3 then
      extensions = first
    elseif tag ~= 0xA0 then
      fields[#fields + 1] = {first, last} -- serial number, algorithm, issuer, validity, subject, key
    end
  end)
  local out = {}
  out[#out + 1] = name("Subject", der, fields[5][1], fields[5][2], context:get("subject"))
  out[#out + 1] = name("Issuer", der, fields[3][1], fields[3][2], context:get("issuer"))
  local beforeTag, beforeFirst, beforeLast = element(der, fields[4][1])
  local afterTag, afterFirst, afterLast = element(der, beforeLast + 1)
  if context:get("notbefore") then
    out[#out + 1] = "NB=" .. unix(beforeTag, der:sub(beforeFirst, beforeLast))
  end
  if context:get("notafter") then
    out[#out + 1] = "NA=" .. unix(afterTag, der:sub(afterFirst, afterLast))
  end
  if context:get("sans") then
    local first, last = 1, 0
    if extensions ~= nil then
      _, first, last = element(der, extensions)
    end
    out[#out + 1] = "SAN=" .. alternatives(der, first, last)
  end
  return table.concat(out, ",")
end

function envoy_on_request(handle)
  local headers, context = handle:headers(), handle:filterContext()
  headers:remove(certHeader)
  headers:remove(infosHeader)
  local connection = handle:streamInfo():downstreamSslConnection()
  if connection == nil or not connection:peerCertificatePresented() then
    return
  end
  local chain = connection:urlEncodedPemEncodedPeerCertificateChain():gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end)
  local whole, told = {}, {}
  for body in chain:gmatch("%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-(.-)%-%-%-%-%-END CERTIFICATE%-%-%-%-%-") do
    body = body:gsub("%s", "")
    whole[#whole + 1] = escape(body)
    if context:get("infos") then
      told[#told + 1] = infos(unbase64(body), context)
    end
  end
  if context:get("pem") then
    headers:add(certHeader, table.concat(whole, ","))
  end
  local text = escape(table.concat(told, ";"))
  if text ~= "" then
    headers:add(infosHeader, text)
  end
end
