-- Cells of a notebook as Quarto shows them: options (`#| name: value`), folded code, figures with captions;
-- links to notebooks become links to their pages.

local markdown -- the format of text in cells, and of what they give

local function html(text) return pandoc.RawBlock("html", text) end

local function options(code)
  -- The options at the head of a cell, and the code after them
  local found, rest = {}, code
  while true do
    local name, value, after = rest:match("^#|%s*([%w-]+):%s*([^\n]*)\n?(.*)$")
    if not name then return found, rest end
    found[name], rest = value:gsub('^"(.*)"$', "%1"), after
  end
end

local function source(block, option)
  -- A cell's code: left out, as it is, or to fold
  if option.echo == "false" or block.text == "" then return {} end
  local fold = option["code-fold"]
  if not fold then return {block} end
  local open = fold == "show" and " open" or ""
  return {html("<details" .. open .. "><summary>" .. (option["code-summary"] or "Code") .. "</summary>"),
          block, html("</details>")}
end

local figures = 0
local function with_caption(image, option)
  -- A cell's picture as a figure that can be linked to; pandoc has a type for it from version 3 on
  figures = figures + 1
  local words = pandoc.utils.blocks_to_inlines(pandoc.read(option["fig-cap"] or "", markdown).blocks)
  table.insert(words, 1, pandoc.Str("Figure " .. figures .. ": "))
  local name = {id = option.label or ""}
  if not pandoc.Figure then return pandoc.Para{pandoc.Image(words, image.src, "fig:", name)} end
  return pandoc.Figure(pandoc.Plain{pandoc.Image(words, image.src)}, {long = {pandoc.Plain(words)}}, name)
end

local function is(kind)
  return function(block)
    if kind == "image" then return block.t == "Para" and block.content[1].t == "Image" end
    return block.t == "RawBlock" and block.format == kind
  end
end

local function richest(content)
  -- Of the forms of a result the one that Quarto shows; a stream of text has one only
  for _, kind in ipairs{"image", "markdown", "html"} do
    local block = content:find_if(is(kind))
    if block then return block, kind end
  end
  return content[1], "plain"
end

local function output(div, option)
  -- What a cell gave: a figure, markdown in the page's own flow, or anything else in a box
  local block, kind = richest(div.content)
  local blocks = pandoc.List{block}
  if kind == "image" then blocks = pandoc.List{with_caption(block.content[1], option)} end
  if kind == "markdown" then blocks = pandoc.read(block.text, markdown).blocks end
  if option.output == "asis" then return blocks end
  return {pandoc.Div(blocks, {class = "cell-output"})}
end

local function callout(div)
  -- A box with a title, which may be folded
  if not div.classes:find_if(function(c) return c:match("^callout") end) then return end
  local title = div.attributes.title or "Note"
  if div.attributes.collapse == "true" then
    div.content:insert(1, html("<details><summary>" .. title .. "</summary>"))
    div.content:insert(html("</details>"))
  else
    div.content:insert(1, pandoc.Para{pandoc.Strong(title)})
  end
  div.attributes = {}
  return div
end

local function cell(div)
  -- Its blocks; of the first, raw one what it says of the page
  if div.classes:includes("raw") then return {}, pandoc.read(div.content[1].text, "markdown").meta end
  if not div.classes:includes("code") then return div.content end
  local option, blocks = {}, pandoc.List()
  for i, block in ipairs(div.content) do
    if i == 1 then
      option, block.text = options(block.text)
      blocks:extend(source(block, option))
    elseif option.output ~= "false" then
      blocks:extend(output(block, option))
    end
  end
  return blocks
end

local function numbered(blocks)
  -- Headings of different cells may say the same; as in one text, the second gets another name
  local taken = {}
  return pandoc.Div(blocks):walk{Header = function(h)
    local name, n = h.identifier, taken[h.identifier] or 0
    taken[name] = n + 1
    if n > 0 then h.identifier = name .. "-" .. n end
    return h
  end}.content
end

function Pandoc(doc)
  markdown = pandoc.utils.stringify(doc.meta.markdown)
  local page, root = pandoc.utils.stringify(doc.meta.page), pandoc.utils.stringify(doc.meta.root)
  local folder = page:match("^.*/") or ""
  local function whole(target)
    -- A link's file, from the folder of all pages
    local path = target:sub(1, 1) == "/" and target:sub(2) or folder .. target
    repeat
      local n
      path, n = path:gsub("[^/]+/%.%./", "", 1)
    until n == 0
    return path
  end
  local function link(a)
    local target, place = a.target:match("^([^#:]+)(#?.*)$")
    if not target then return end
    local file = whole(target)
    local address = doc.meta.addresses[file]
    if file == page then a.classes:insert("active") end
    if address then a.target = root .. pandoc.utils.stringify(address) .. place end
    return a
  end

  local blocks = pandoc.List()
  for _, block in ipairs(doc.blocks) do
    local content, head = cell(block)
    blocks:extend(content)
    for name, value in pairs(head or {}) do doc.meta[name] = value end
  end
  for _, name in ipairs{"navbar", "sidebar"} do
    doc.meta[name] = pandoc.MetaBlocks(pandoc.Div(doc.meta[name]):walk{Link = link}.content)
  end
  return pandoc.Pandoc(pandoc.Div(numbered(blocks)):walk{Link = link, Div = callout}.content, doc.meta)
end
