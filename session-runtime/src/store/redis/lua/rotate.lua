-- Carries out rule 5 of the rotation where nothing else comes with it, and leaves every other case as it is.
--
-- KEYS: the row. ARGV: generation, parent, floor, nonce or '', fingerprint.
-- Returns the time and the row as it was; also the row as it is, if it was rotated.
local at = now()
local row = redis.call('GET', KEYS[1])
-- What is none, or was cut short, is for the store to say.
if not is_row(row) or #row < 234 then
  return { at, row }
end
local idle, absolute, rotated, _, generation, parent, _, since = struct.unpack('>I8I8I8I8I4I4I4I4', row, 19)
local nonce, is_bound = ARGV[4], since > 0

local is_live = not has_ended(row) and at < idle and at < absolute
local is_current = generation == tonumber(ARGV[1]) and parent == tonumber(ARGV[2])
local is_due = at > rotated + tonumber(ARGV[3]) and generation < 4294967295
local lacks_nonce = is_bound and generation >= since and nonce == ''
local replaces_other = string.byte(row, 166) ~= 0
if not (is_live and is_current and is_due) or lacks_nonce or replaces_other then
  return { at, row }
end

local binding = struct.pack('>I4', 0) .. string.rep('\0', 33)
if nonce ~= '' and is_bound then
  binding = struct.pack('>I4', since) .. nonce .. '\1' .. string.sub(row, 67, 82)
elseif nonce ~= '' then
  binding = struct.pack('>I4', generation + 1) .. nonce .. string.rep('\0', 17)
end
local lifetime = struct.unpack('>I8', row, 158)
local turned = string.sub(row, 1, 18)
  .. struct.pack('>I8', math.min(at + lifetime, NEVER))
  .. string.sub(row, 27, 34)
  .. struct.pack('>I8I8I4I4I4', at, 0, generation + 1, generation, parent)
  .. binding
  .. ARGV[5]
  .. string.sub(row, 116)
keep(KEYS[1], turned)
return { at, row, turned }
