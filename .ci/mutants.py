"""Mutation testing of the projection, OPCM's scale and the state; needs Cosmic Ray, in any environment.

python .ci/mutants.py run COSMIC_RAY      # path of its command; writes nbs/promises/results/mutants.csv
python .ci/mutants.py coverage            # lines of the merging core that tests reach, as results/coverage.csv
python .ci/mutants.py claims NOTEBOOK...  # a notebook's tests against the module that it exports
"""
import csv, json, os, re, sqlite3, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

GROUPS = {("opcm_nb/rules/projection.py", "opcm_nb/rules/opcm.py"):         # modules, and what tries them
              ("nbs/rules/01_projection.ipynb", "nbs/rules/05_opcm.ipynb"),
          ("opcm_nb/merging/manifest.py",):
              ("nbs/merging/01_manifest.ipynb", "nbs/merging/02_state.ipynb"),
          ("opcm_nb/merging/state.py",):
              ("nbs/merging/03_state.ipynb", "nbs/merging/24_merger.ipynb")}
# replacements that could be slips; a shift for a division is none
BINARY = {"Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "Add_Mul", "BitOr_BitAnd"}
COMPARE = {"Eq_NotEq", "NotEq_Eq", "Gt_GtE", "Gt_LtE", "LtE_Lt", "LtE_Gt", "GtE_Gt", "GtE_Lt", "Is_IsNot"}

def exported(module):
    "What a module of the package defines, for a notebook's own names"
    names = vars(import_module(f"opcm_nb.{module}"))
    return {k: v for k, v in names.items() if not k.startswith("__")}

def script(path):
    "A notebook's code, its exported definitions replaced by those of the module"
    out, module = [], ""
    for c in json.loads(path.read_text())["cells"]:
        s = "".join(c["source"])
        if c["cell_type"] != "code" or re.match(r"#\|\s*(slow|gpu|hub|eval: false)", s): continue
        if m := re.search(r"#\| default_exp (\S+)", s): module = m[1]
        elif not re.match(r"#\|\s*export", s):
            out.append("\n".join(l for l in s.splitlines() if not l.startswith(("!", "%", "show_doc"))))
        elif re.search(r"^(def|class|@|\w+ = )", s, re.M):
            out.append(f"globals().update(exported({module!r}))")
        else: out.append(s)                                   # imports
    return "\n".join(out)

def claims(notebooks):
    root = Path.cwd()
    for p in map(Path, notebooks):
        os.chdir((root / p).parent)
        exec(compile(script(root / p), str(p), "exec"), dict(__name__="__main__", exported=exported))
        os.chdir(root)

def sensible(module, operator):
    kind = operator.split("Operator_")[-1]
    if "BinaryOperator_" in operator:                           # the state joins paths with a slash
        return kind in BINARY and not (kind.startswith("Div") and module.endswith("state.py"))
    return "ComparisonOperator_" not in operator or kind in COMPARE

CONFIG = """[cosmic-ray]
module-path = {}
timeout = 60.0
excluded-modules = []
test-command = "{} -W ignore .ci/mutants.py claims {}"
[cosmic-ray.distributor]
name = "local"
"""

def run_group(tool, modules, notebooks, clone):
    "A row for each sensible mutant of the modules, tried on the notebooks in a clone of the repository"
    subprocess.run(["git", "clone", "-q", Path.cwd(), clone], check=True)
    config = CONFIG.format(json.dumps(modules), sys.executable, " ".join(notebooks))
    (clone / "mutants.toml").write_text(config)
    env = os.environ | dict(PYTHONPATH=str(clone), MPLBACKEND="agg", OMP_NUM_THREADS="1")
    def call(verb):
        subprocess.run([tool, verb, "mutants.toml", "session.sqlite"], cwd=clone, env=env, check=True)
    call("init")
    db = sqlite3.connect(clone / "session.sqlite")
    jobs = db.execute("select job_id, module_path, operator_name from mutation_specs").fetchall()
    for job in (job for job, module, operator in jobs if not sensible(module, operator)):
        for table in ("mutation_specs", "work_items"):
            db.execute(f"delete from {table} where job_id = ?", (job,))
    db.commit()
    call("exec")
    return collect(clone / "session.sqlite")

OUTCOMES = """select m.module_path, m.operator_name, r.test_outcome, r.diff
from work_results r join mutation_specs m using (job_id) order by m.module_path, m.start_pos_row"""

def changed_line(diff):
    "The first line that a mutant has instead; of one that only takes away, what it is without"
    added, removed = ([l[1:].strip() for l in diff.splitlines() if l[:1] == sign and l[:3] != 3 * sign]
                      for sign in "+-")
    return added[0] if added else "".join(f"without {l}" for l in removed[:1])

def collect(session):
    "A row for each mutant of a session; of one that survived, the changed line, too"
    rows = []
    for module, operator, outcome, diff in sqlite3.connect(session).execute(OUTCOMES):
        rows.append(dict(module=module, operator=operator.split("/")[-1], outcome=outcome.lower(),
                         change=changed_line(diff or "") if outcome == "SURVIVED" else "", why=""))
    return rows

def run(tool):
    "All groups at once, each in a clone of its own; their rows as one table"
    with tempfile.TemporaryDirectory() as tmp, ThreadPoolExecutor() as pool:
        tries = [pool.submit(run_group, tool, modules, notebooks, Path(tmp) / str(i))
                 for i, (modules, notebooks) in enumerate(GROUPS.items())]
        store([row for t in tries for row in t.result()])

def store(rows, path=Path("nbs/promises/results/mutants.csv")):
    "The whole table; a changed line that survived before keeps the reason that a person gave"
    reasons = {}
    if path.exists(): reasons = {r["change"]: r["why"] for r in csv.DictReader(path.open()) if r["change"]}
    rows = [r | dict(why=reasons.get(r["change"], "")) for r in rows]
    write(rows, path)
    for r in rows:
        if r["outcome"] != "killed" and not r["why"]: print(f"say why in {path}: {r['module']}: {r['change']}")

def write(rows, path):
    with path.open("w", newline="") as f:
        table = csv.DictWriter(f, rows[0].keys())
        table.writeheader()
        table.writerows(rows)

TESTS = [f"{room}/*.ipynb" for room in ("basics", "checkpoints", "rules", "merging", "commands")]
TESTS += ["promises/0[2-4]*.ipynb", "tutorials/0[1-4]*.ipynb"]
CORE = r"opcm_nb/(basics/(disk|tables)|(checkpoints|rules|merging)/\w+|commands/(plan|diagnostics|report))\.py"

def coverage(folder):
    "Run the notebooks of the core under coverage"
    rc, data = f"--rcfile={folder / 'rc'}", folder / "data"
    (folder / "rc").write_text(f"[run]\nparallel = true\nsource = opcm_nb\ndata_file = {data}\n"
                               "patch = subprocess, fork, _exit\nconcurrency = thread\n")
    tool = [sys.executable, "-W", "ignore", "-m", "coverage"]
    env = os.environ | dict(MPLBACKEND="agg", OMP_NUM_THREADS="1")
    for p in sorted(p for pattern in TESTS for p in Path("nbs").glob(pattern)):
        subprocess.run([*tool, "run", rc, ".ci/mutants.py", "claims", p], env=env)
    subprocess.run([*tool, "combine", "-q", rc], check=True)
    subprocess.run([*tool, "json", "-q", rc, "-o", folder / "json"], check=True)
    store_coverage(json.loads((folder / "json").read_text()))

def store_coverage(report, path=Path("nbs/promises/results/coverage.csv")):
    rows = [dict(module=f.removeprefix("opcm_nb/"), lines=v["summary"]["num_statements"],
                 missed=v["summary"]["missing_lines"])
            for f, v in report["files"].items() if re.fullmatch(CORE, f)]
    write([r for r in rows if r["lines"]], path)

if __name__ == "__main__":
    if sys.argv[1] == "claims": claims(sys.argv[2:])
    elif sys.argv[1] == "run": run(sys.argv[2])
    elif sys.argv[1] == "coverage":
        with tempfile.TemporaryDirectory() as tmp: coverage(Path(tmp))
