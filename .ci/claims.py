"""No claim that no cell or file of results holds: python .ci/claims.py [--list]

README.md, by its source nbs/index.ipynb: each number in prose, tables and comments of code blocks, in digits or as a word from ten
on. It is held by the cell that prints it, unless copied from a string in that cell's code; with decimals by any output; or by an
entry under `readme` in .ci/claims.yml, `the words around it: path` of a CSV, JSON or notebook that holds all numbers in these
words at their rounding: as a value, in percent, or as a number of rows or entries. Not counted: code spans, command lines,
formulas, targets of links, names (ViT-B/32, fp16), years, dates, versions, licences, arXiv numbers, numbers of theorems and of lists.

The other notebooks: decimals, percentages and numbers with a unit, in prose. They are held by code or outputs of the same notebook
or of one that the paragraph links to; else by an entry under `docs`, notebook by notebook: a path as above, or the reason
why no file holds it, such as the table of a paper. An entry that fits no number is a fault. --list shows README's sources.
"""
import ast, json, re, sys, yaml
from functools import cache
from pathlib import Path

NBS = Path(__file__).resolve().parent.parent / "nbs"
ROOT, INDEX = NBS.parent, NBS / "index.ipynb"
ONES, TENS = "one two three four five six seven eight nine", "twenty thirty forty fifty sixty seventy eighty ninety"
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
WORDS = TEENS.split() + [w for t in TENS.split() for w in (t, *(f"{t}-{o}" for o in ONES.split()))]      # from ten on
DIGITS = r"\d{1,3}(?:,\d{3})+(?!\d)|\d*\.\d+|\d+"
CLAIM = re.compile(rf"(?<![\w.,])(?<![A-Za-z][-/])(?:{DIGITS})|\b(?:{'|'.join(WORDS[::-1])})\b", re.I)
UNIT = re.compile(r"\s*(%|percent|points?\b|times\b|x\b|[kMG]B\b|m?s\b|seconds|minutes|hours|million|billion)")
UNCOUNTED = [r"`[^`]*`", r"\$\$.*?\$\$", r"\$[^$]*\$", r"\]\([^)\s]*\)", r"</?[A-Za-z][^>\n]*>", r"https?://\S+",
             r"\b\d{4}\.\d{4,5}\b", r"\b(?:19|20)\d\d(?:-\d\d-\d\d)?\b", r"\b\d+\.\d+\.\d+\S*", r"^\s*\d+\. ",
             r"(?:Python|\w*[tT]orch|transformers|CC BY(?:-SA)?|CC0|WordNet|Theorem|Table|Section|Figure)[ -]\d+(?:\.\d+)*"]

def prose(text):
    "A text with all but comments of its code blocks, and what else is not counted, blanked in place"
    code = lambda block: re.sub(r"(?m)^[^#\n]*#?", lambda m: " " * len(m[0]), block[0])
    text = re.sub(r"```.*?```", code, text, flags=re.S)
    return re.sub("|".join(UNCOUNTED), lambda m: re.sub(r"\S", " ", m[0]), text, flags=re.S | re.M)

def claims(text):
    "(start, end, digits) of each number in a text"
    value = lambda word: str(10 + WORDS.index(word)) if word in WORDS else word.replace(",", "")
    return [(m.start(), m.end(), value(m[0].lower())) for m in CLAIM.finditer(prose(text))]

def holds(values, digits, scales=(1,)):
    "Whether one of the values, times a scale, is the number at its rounding"
    slack = .5000001 * 10.0 ** -len(digits.partition(".")[2])
    return any(abs(abs(v) * scale - float(digits)) <= slack for v in values for scale in scales if v or not float(digits))

def numbers(text): return {float(n.replace(",", "")) for n in re.findall(rf"(?<![A-Za-z_])(?:{DIGITS})(?:e[-+]?\d+)?", text)}

def shown(cell):
    "What a cell printed, without pictures"
    return "\n".join("".join(d) for o in cell.get("outputs", []) for k, d in (o | o.get("data", {})).items() if k.startswith("text"))

def constants(source, kind):
    "The numbers or strings in a cell's code, without the formats of f-strings"
    nodes = list(ast.walk(ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source))))
    formats = {id(c) for n in nodes if isinstance(n, ast.FormattedValue) and n.format_spec for c in ast.walk(n.format_spec)}
    return {n.value for n in nodes if isinstance(n, ast.Constant) and id(n) not in formats
            and isinstance(n.value, kind) and not isinstance(n.value, bool)}

@cache
def cells(path): return [c | {"source": "".join(c["source"])} for c in json.loads(path.read_text())["cells"]]

def entries(x): # numbers in nested lists and dicts, and how many entries each has
    if isinstance(x, (list, dict)): return {len(x)}.union(*map(entries, x.values() if isinstance(x, dict) else x))
    return numbers(str(x))

@cache
def held(path):
    "The numbers that a file holds"
    if path.suffix == ".json": return entries(json.loads(path.read_text()))
    if path.suffix == ".csv": return numbers(path.read_text()) | {len(path.read_text().splitlines()) - 1}
    code = [c for c in cells(path) if c["cell_type"] == "code"]
    return set().union(*(numbers(shown(c)) | constants(c["source"], (int, float)) for c in code))

class Page:
    "A page's entries in claims.yml, its numbers with their sources, and its faults"
    def __init__(self, path, table=None):
        self.path, self.table, self.used, self.lines, self.faults = path, table or {}, set(), [], []

    def entry(self, text, start, end):
        "The entry whose words are around a number; a file that it names must hold the numbers in them"
        for words, why in self.table.items():
            pattern = r"\s+".join(map(re.escape, words.split()))
            if not any(m.start() <= start and end <= m.end() for m in re.finditer(pattern, text)): continue
            self.used.add(words)
            if (file := ROOT / why).is_file() and not all(holds(held(file), d, (1, 100)) for *_, d in claims(words)):
                self.faults.append(f"{why} does not hold the numbers in {words!r}")
            return why

    def check(self, text, source, only=lambda rest, digits: True):
        "Each number of a text; `source` says what holds it, or else an entry"
        for start, end, digits in claims(text):
            if not only(text[end:], digits): continue
            why, context = source(digits) or self.entry(text, start, end), " ".join(text[max(0, start - 40):end + 30].split())
            self.lines.append(f"{text[start:end]:>12}  {context:72}  {why}")
            if not why: self.faults.append(f"no source of {text[start:end]} in: {context}")

    def end(self):
        unused = [f"no number fits the entry {w!r}" for w in self.table if w not in self.used]
        return [f"{self.path.relative_to(ROOT)}: {fault}" for fault in dict.fromkeys(self.faults + unused)]

def readme(page, index):
    outputs = set().union(*(numbers(shown(c)) for c in index))
    for cell in index:
        if cell["cell_type"] == "markdown":
            page.check(cell["source"], lambda d: "." in d and holds(outputs, d) and "an output")
        else:
            strings, values = (constants(cell["source"], kind) for kind in (str, (int, float)))
            copied = {float(d) for string in strings for *_, d in claims(string)} - values
            page.check(shown(cell), lambda d: float(d) not in copied and f"cell {cell['id']}")
    return page

def chapter(page):
    for text in (p for c in cells(page.path) if c["cell_type"] == "markdown" for p in c["source"].split("\n\n")):
        linked = {(page.path.parent / l).resolve() for l in re.findall(r"\]\(([\w./]+\.ipynb)", text)}
        values = set().union(*(held(p) for p in {page.path, *linked} if p.is_file()))
        page.check(text, lambda d: holds(values, d) and "held", only=lambda rest, d: "." in d or UNIT.match(rest))
    return page

def main():
    table = yaml.safe_load((ROOT / ".ci/claims.yml").read_text())
    front = readme(Page(INDEX, table["readme"]), cells(INDEX))
    pages = [p for p in sorted(NBS.rglob("*.ipynb")) if p != INDEX and not {"scratch", ".ipynb_checkpoints"} & set(p.parts)]
    bad = front.end() + [f for p in pages for f in chapter(Page(p, table["docs"].get(str(p.relative_to(NBS))))).end()]
    made_up = [{"cell_type": "markdown", "source": "73.9137 points ahead, on seventy-three tasks"}]
    found = readme(Page(INDEX, table["readme"]), cells(INDEX) + made_up).faults
    if len(found) != len(front.faults) + 2: bad.append("a made-up number is not found")
    if "--list" in sys.argv: print("\n".join(front.lines))
    print("\n".join(bad) or f"{len(front.lines)} numbers of README.md, and those of {len(pages)} notebooks, are held")
    sys.exit(bool(bad))

if __name__ == "__main__": main()
