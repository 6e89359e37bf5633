"""What nbdev leaves open, one verb each: python .ci/nb.py VERB [--nbs A,B]

run     execute notebooks in place and store the outputs a reader sees (--flags slow,gpu,hub: those cells, too,
        and without --nbs only the notebooks that have such cells)
test    one process a notebook, with a time limit, as many at a time as there are cores, those that measure
        alone; prints `N passed, N failed`
readme  write README.md from nbs/index.ipynb (--check: only say whether it is current)
docs    give the notebooks the processing that Quarto's input gets, so that show_doc cells run
check   notebook hygiene: stored errors, machine paths, mixed cells, orphan modules
"""
import ast, gc, io, os, re, subprocess, sys, time, traceback, warnings
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from fastcore.basics import str2bool
from fastcore.script import call_parse, store_true
from nbdev.config import get_config
from PIL import Image

cfg = get_config()

def notebooks(given):
    "The named notebooks, or all of the project's"
    if given: return [Path(f).resolve() for f in given.split(",")]
    hidden = lambda p: any(q[0] in "._" or q == "scratch" for q in p.relative_to(cfg.nbs_path).parts)
    return [p for p in sorted(cfg.nbs_path.rglob("*.ipynb")) if not hidden(p)]

def left_out(path, flags=()):
    "Ids of the cells that are not run: no code, or marked as slow and the like and not asked for"
    from nbdev.process import NBProcessor
    skip = set(cfg.tst_flags.split()) - set(flags)
    def runs(cell):
        directives = getattr(cell, "directives_", None) or {}
        return (cell.cell_type == "code" and str2bool((directives.get("eval:") or ["true"])[0])
                and not skip & directives.keys())
    return {c.id for c in NBProcessor(path, process=True).nb.cells if not runs(c)}

def with_palette(png):
    "A plot in 256 colours, a third of its size; a photograph stays as it is"
    image = Image.open(io.BytesIO(b64decode(png)))
    if image.mode != "RGBA" or image.getextrema()[3][0] < 255 or not image.getcolors(1 << 14): return png
    out = io.BytesIO()
    small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(out, "png", optimize=True, dpi=image.info.get("dpi", (100, 100)))
    return b64encode(out.getvalue()).decode()

def shrink(cells):
    "The plots of cells with palettes"
    for data in (o.get("data", {}) for cell in cells for o in cell.get("outputs", [])):
        if "image/png" in data: data["image/png"] = with_palette("".join(data["image/png"]))

def run_one(path, flags):
    "Execute one notebook under nbdev's directives and store the outputs"
    from execnb.shell import CaptureShell
    from nbdev.clean import clean_nb
    nb, skip = read_nb(path), left_out(path, flags)
    for cell in nb.cells:
        if cell.id not in skip: cell["outputs"] = []
    shell = CaptureShell(path)
    shell.set_path(path.parent)
    os.chdir(path.parent)
    shell.run_all(nb, exc_stop=True, preproc=lambda cell: cell.id in skip)
    clean_nb(nb)
    shrink(cell for cell in nb.cells if cell.id not in skip)
    write_nb(nb, path)

def flagged(path, flags):
    "Whether a notebook has a cell with one of these flags"
    return any(re.search(rf"^#\|\s*({'|'.join(flags)})\b", c.source, re.M) for c in read_nb(path).cells)

def run(given, flags):
    sys.path.insert(0, str(cfg.config_path))
    flags, failed = [f for f in flags if f], []
    for path in notebooks(given):
        if flags and not given and not flagged(path, flags): continue
        start, name = time.time(), path.relative_to(cfg.nbs_path)
        try: run_one(path, flags)
        except Exception:
            traceback.print_exc()
            failed.append(f"{name} failed; it is as it was")
        else: print(f"ran {name} in {time.time() - start:.0f} s", flush=True)
    for line in failed: print(line)
    return not failed

CLOCKS = re.compile(r"perf_counter|process_time|getrusage|RssAnon|VmHWM")
EXPORT = re.compile(r"^#\|\s*export", re.M)

def measures(path):
    "Whether a test reads a clock or the memory in use; such a notebook wants the machine for itself"
    skip = left_out(path)
    return any(CLOCKS.search(c.source) and not EXPORT.search(c.source)
               for c in read_nb(path).cells if c.id not in skip)

def try_one(path, threads, limit=900):
    "One notebook in a process of its own, which may use so many threads; whether it passed"
    name, start = path.relative_to(cfg.nbs_path), time.time()
    cmd = [sys.executable, "-m", "nbdev.test", "--path", str(path), "--n_workers", "0"]
    env = os.environ | {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")}
    try:
        p = subprocess.run(cmd, capture_output=True, text=True, timeout=limit, cwd=cfg.config_path, env=env)
        passed, log = p.returncode == 0, p.stdout + p.stderr
    except subprocess.TimeoutExpired: passed, log = False, f"no end after {limit} s"
    line = f"{'ok    ' if passed else 'FAILED'} {name} {time.time() - start:.0f} s\n"
    print(line if passed else line + log + "\n", end="", flush=True)            # in one piece: others write, too
    return passed

def test(given):
    "As many notebooks at a time as there are cores; then, one by one, those that measure"
    alone = [p for p in notebooks(given) if measures(p)]
    beside = [p for p in notebooks(given) if p not in alone]
    cores = os.cpu_count()
    workers = max(1, min(cores, len(beside)))
    with ThreadPoolExecutor(workers) as pool:
        passed = list(pool.map(lambda p: try_one(p, cores // workers), beside))
    passed += [try_one(p, cores) for p in alone]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    return all(passed)

def readme_text():
    "nbs/index.ipynb as plain markdown"
    out = []
    for cell in read_nb(cfg.nbs_path / cfg.readme_nb).cells:
        src = cell.source.strip()
        if cell.cell_type == "markdown": out.append(src)
        elif cell.cell_type == "code" and not re.search(r"^#\|\s*hide", src, re.M):
            if not re.search(r"^#\|\s*echo:\s*false", src, re.M): out.append(f"```python\n{src}\n```")
            shown = (o.get("data", {}).get("text/markdown") for o in cell.get("outputs", []))
            out += ["".join(markdown) for markdown in shown if markdown]
    text = re.sub(r"\]\(((?:\w+/)?\w+\.(?:ipynb|png))\)", r"](nbs/\1)", "\n\n".join(out))
    return text.replace("](contributing.qmd)", "](CONTRIBUTING.md)") + "\n"

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
    gc.freeze()                                       # at exit, each notebook's shell collects all of torch: 40 s
    return True

PATHS = re.compile(r"/(home|root|tmp|work|Users|usr/lib|opt)/")

MOST, CLASS = 25, 30                                  # lines that a reader can hold; a class is one thought

def code_lines(source):
    "Lines of code; a signature with a comment for each parameter is one"
    tree = ast.parse(source)
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))
    signatures = {i for f in functions for i in range(f.lineno + 1, f.body[0].lineno)}
    return sum(bool(l.strip()) and not l.startswith("#|") and i not in signatures
               for i, l in enumerate(source.splitlines(), 1))

def problems(path):
    "What a reader of this notebook would trip over"
    from nbdev.processors import NBProcessor, _do_eval
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        NBProcessor(path, _do_eval, process=True)
    if any("imports and other code" in str(w.message) for w in caught): yield "a cell mixes imports and code"
    cells = read_nb(path).cells
    if not re.fullmatch(r"# .+\n\n> .+", cells[0].source.strip()):
        yield "the first cell is not a title and a subtitle (nbdev drops what follows them in it)"
    for cell in cells:
        for o in cell.get("outputs", []):
            if o.get("output_type") == "error": yield "a stored error"
            data = {k: v for k, v in o.get("data", {}).items() if "image" not in k}
            text = "".join(o.get("text") or "") + str(data)
            if PATHS.search(text) or "Warning" in text:
                yield f"an output shows a machine path or a warning: {text[:90]!r}"
        if EXPORT.search(cell.source):
            n, kinds = code_lines(cell.source), [type(x) for x in ast.parse(cell.source).body]
            if n > (CLASS if kinds == [ast.ClassDef] else MOST): yield f"an exported cell of {n} lines"

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
    ok = {"run": lambda: run(nbs, flags.split(",")), "test": lambda: test(nbs),
          "readme": lambda: readme(check_only), "docs": docs, "check": check}[verb]()
    sys.exit(0 if ok else 1)
