"""What nbdev leaves open, one verb each: python .ci/nb.py VERB [--nbs A,B]

run     execute notebooks in place and store the outputs a reader sees (--flags slow,gpu,hub)
test    one process a notebook, with a time limit; prints `N passed, N failed`
readme  write README.md from nbs/index.ipynb (--check: only say whether it is current)
docs    give the notebooks the processing that Quarto's input gets, so that show_doc cells run
check   notebook hygiene: stored errors, machine paths, mixed cells, orphan modules
"""
import ast, os, re, subprocess, sys, time, warnings
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from fastcore.basics import str2bool
from fastcore.script import call_parse, store_true
from nbdev.config import get_config

cfg = get_config()

def notebooks(given):
    "The named notebooks, or all of the project's"
    if given: return [Path(f).resolve() for f in given.split(",")]
    hidden = lambda p: any(q[0] in "._" or q == "scratch" for q in p.relative_to(cfg.nbs_path).parts)
    return [p for p in sorted(cfg.nbs_path.rglob("*.ipynb")) if not hidden(p)]

def run_one(path, flags):
    "Execute one notebook under nbdev's directives and store the outputs"
    from execnb.shell import CaptureShell
    from nbdev.clean import clean_nb
    from nbdev.process import NBProcessor
    nb, seen = read_nb(path), NBProcessor(path, process=True).nb
    directives = {c.id: getattr(c, "directives_", None) or {} for c in seen.cells}
    skip = set(cfg.tst_flags.split()) - set(flags)
    def skipped(cell):
        if cell.cell_type != "code": return True
        d = directives.get(cell.id, {})
        return not str2bool((d.get("eval:") or ["true"])[0]) or bool(skip & d.keys())
    for cell in nb.cells:
        if not skipped(cell): cell["outputs"] = []
    shell = CaptureShell(path)
    shell.set_path(path.parent)
    os.chdir(path.parent)
    shell.run_all(nb, exc_stop=True, preproc=skipped)
    clean_nb(nb)
    write_nb(nb, path)

def run(given, flags):
    sys.path.insert(0, str(cfg.config_path))
    for path in notebooks(given):
        start = time.time()
        run_one(path, flags)
        print(f"ran {path.relative_to(cfg.nbs_path)} in {time.time() - start:.0f} s", flush=True)

def test(given, limit=900):
    passed = failed = 0
    for path in notebooks(given):
        name, start = path.relative_to(cfg.nbs_path), time.time()
        cmd = [sys.executable, "-m", "nbdev.test", "--path", str(path), "--n_workers", "0"]
        try:
            p = subprocess.run(cmd, capture_output=True, text=True, timeout=limit, cwd=cfg.config_path)
            ok, log = p.returncode == 0, p.stdout + p.stderr
        except subprocess.TimeoutExpired: ok, log = False, f"no end after {limit} s"
        passed, failed = passed + ok, failed + (not ok)
        print(f"{'ok    ' if ok else 'FAILED'} {name} {time.time() - start:.0f} s", flush=True)
        if not ok: print(log)
    print(f"{passed} passed, {failed} failed")
    return failed == 0

def readme_text():
    "nbs/index.ipynb as plain markdown"
    out = []
    for cell in read_nb(cfg.nbs_path / cfg.readme_nb).cells:
        src = cell.source.strip()
        if cell.cell_type == "markdown": out.append(src)
        elif cell.cell_type == "code" and not re.search(r"^#\|\s*hide", src, re.M):
            if not re.search(r"^#\|\s*echo:\s*false", src, re.M): out.append(f"```python\n{src}\n```")
            out += ["".join(o["data"]["text/markdown"]) for o in cell.get("outputs", []) if "text/markdown" in o.get("data", {})]
    return re.sub(r"\]\(((?:\w+/)?\w+\.ipynb)\)", r"](nbs/\1)", "\n\n".join(out)).replace("](contributing.qmd)", "](CONTRIBUTING.md)") + "\n"

def readme(check):
    path, new = cfg.config_path / "README.md", readme_text()
    if check: return path.exists() and path.read_text() == new or print("README.md is out of date: python .ci/nb.py readme")
    path.write_text(new)
    return True

def docs():
    import nbdev.doclinks as links
    from nbdev.quarto import refresh_quarto_yml
    from nbdev.serve import proc_nbs
    refresh_quarto_yml()
    links._build_modidx()
    proc_nbs(force=True, n_workers=0)
    return True

PATHS = re.compile(r"/(home|root|tmp|work|Users|usr/lib|opt)/")

MOST, CLASS = 25, 30                                  # lines that a reader can hold; a class is one thought

def code_lines(source):
    "Lines of code; a signature with a comment for each parameter is one"
    tree = ast.parse(source)
    signatures = [range(n.lineno + 1, n.body[0].lineno) for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    return sum(bool(l.strip()) and not l.startswith("#|") and not any(i in r for r in signatures) for i, l in enumerate(source.splitlines(), 1))

def problems(path):
    "What a reader of this notebook would trip over"
    from nbdev.processors import NBProcessor, _do_eval
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        NBProcessor(path, _do_eval, process=True)
    if any("imports and other code" in str(w.message) for w in caught): yield "a cell mixes imports and code"
    cells = read_nb(path).cells
    if not re.fullmatch(r"# .+\n\n> .+", cells[0].source.strip()): yield "the first cell is not a title and a subtitle (nbdev drops what follows them in it)"
    for cell in cells:
        for o in cell.get("outputs", []):
            if o.get("output_type") == "error": yield "a stored error"
            text = "".join(o.get("text") or "") + str({k: v for k, v in o.get("data", {}).items() if "image" not in k})
            if PATHS.search(text) or "Warning" in text: yield f"an output shows a machine path or a warning: {text[:90]!r}"
        if re.search(r"^#\|\s*export", cell.source, re.M):
            n, most = code_lines(cell.source), CLASS if [type(x) for x in ast.parse(cell.source).body] == [ast.ClassDef] else MOST
            if n > most: yield f"an exported cell of {n} lines"

def check():
    bad = [f"{p.name}: {b}" for p in notebooks("") for b in problems(p)]
    for p in sorted(cfg.lib_path.rglob("*.py")):
        if p.name in ("__init__.py", "_modidx.py"): continue
        m = re.search(r"File to edit: (\S+\.ipynb)", p.read_text())
        if not (m and (p.parent / m[1]).exists()): bad.append(f"{p.name}: no notebook exports it")
    print("\n".join(bad) or "notebooks are clean")
    return not bad

@call_parse
def main(verb:str, # run, test, readme, docs or check
         nbs:str="", # Notebooks, separated by commas; all when left out
         flags:str="", # Test flags to run as well, such as slow,gpu,hub
         check_only:store_true=False, # With readme: write nothing, fail if it is out of date
        )->None:
    "Run, test and publish the notebooks"
    if verb not in ("run", "test", "readme", "docs", "check"): sys.exit(__doc__)
    os.chdir(cfg.config_path)
    ok = {"run": lambda: run(nbs, flags.split(",")) or True, "test": lambda: test(nbs),
          "readme": lambda: readme(check_only), "docs": docs, "check": check}[verb]()
    sys.exit(0 if ok else 1)
