"""Mutation testing of the projection, OPCM's scale and the state; needs Cosmic Ray, in any environment.

python .ci/mutants.py run COSMIC_RAY      # path of its command; writes nbs/promises/results/mutants.csv
python .ci/mutants.py coverage            # lines of the merging core that tests reach; needs coverage; writes nbs/promises/results/coverage.csv
python .ci/mutants.py claims NOTEBOOK...  # the tests of notebooks against the exported module instead of their own definitions
"""
import csv, json, os, re, sqlite3, subprocess, sys, tempfile
from pathlib import Path

GROUPS = {("opcm_nb/rules/projection.py", "opcm_nb/rules/opcm.py"): ("nbs/rules/01_projection.ipynb", "nbs/rules/04_opcm.ipynb"),
          ("opcm_nb/merging/state.py",): ("nbs/merging/01_state.ipynb", "nbs/merging/06_merger.ipynb")}
# replacements that could be slips; a shift for a division is none
BINARY = {"Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "Add_Mul", "BitOr_BitAnd"}
COMPARE = {"Eq_NotEq", "NotEq_Eq", "Gt_GtE", "Gt_LtE", "LtE_Lt", "LtE_Gt", "GtE_Gt", "GtE_Lt", "Is_IsNot"}

def script(path):
    "A notebook's code, its exported definitions replaced by those of the module"
    out, module = [], ""
    for c in json.loads(path.read_text())["cells"]:
        s = "".join(c["source"])
        if c["cell_type"] != "code" or re.match(r"#\|\s*(slow|gpu|hub|eval: false)", s): continue
        if m := re.search(r"#\| default_exp (\S+)", s): module = m[1]
        elif not re.match(r"#\|\s*export", s): out.append("\n".join(l for l in s.splitlines() if not l.startswith(("!", "%", "show_doc"))))
        elif re.search(r"^(def|class|@|\w+ = )", s, re.M): out.append(f"globals().update({{k: v for k, v in vars(__import__('opcm_nb.{module}', fromlist=['x'])).items() if not k.startswith('__')}})")
        else: out.append(s)                                   # imports
    return "\n".join(out)

def claims(notebooks):
    root = Path.cwd()
    for p in map(Path, notebooks):
        os.chdir((root / p).parent)
        exec(compile(script(root / p), str(p), "exec"), {"__name__": "__main__"})
        os.chdir(root)

def sensible(module, operator):
    kind = operator.split("Operator_")[-1]
    if "BinaryOperator_" in operator: return kind in BINARY and not (kind.startswith("Div") and module.endswith("state.py"))    # paths are joined there
    return "ComparisonOperator_" not in operator or kind in COMPARE

def run_group(tool, modules, notebooks, clone):
    root = Path.cwd()
    subprocess.run(["git", "clone", "-q", root, clone], check=True)
    (clone / "mutants.toml").write_text(f"""[cosmic-ray]
module-path = {json.dumps(modules)}
timeout = 60.0
excluded-modules = []
test-command = "{sys.executable} -W ignore .ci/mutants.py claims {' '.join(notebooks)}"
[cosmic-ray.distributor]
name = "local"
""")
    env = os.environ | dict(PYTHONPATH=str(clone), MPLBACKEND="agg", OMP_NUM_THREADS="1")
    call = lambda verb: subprocess.run([tool, verb, "mutants.toml", "session.sqlite"], cwd=clone, env=env, check=True)
    call("init")
    db = sqlite3.connect(clone / "session.sqlite")
    for job, module, operator in db.execute("select job_id, module_path, operator_name from mutation_specs").fetchall():
        if not sensible(module, operator):
            for table in ("mutation_specs", "work_items"): db.execute(f"delete from {table} where job_id = ?", (job,))
    db.commit()
    call("exec")
    return collect(clone / "session.sqlite")

def collect(session):
    "A row a mutant"
    rows = []
    for module, operator, outcome, diff in sqlite3.connect(session).execute("select m.module_path, m.operator_name, r.test_outcome, r.diff from work_results r join mutation_specs m using (job_id) order by m.module_path, m.start_pos_row"):
        new = next((l[1:].strip() for l in (diff or "").splitlines() if l[:1] == "+" and l[:3] != "+++"), "")
        rows.append(dict(module=module, operator=operator.split("/")[-1], outcome=outcome.lower(), change=new if outcome == "SURVIVED" else "", why=""))
    return rows

def store(rows, path=Path("nbs/promises/results/mutants.csv")):
    "Written with the explanations that survivors already have"
    known = {r["change"]: r["why"] for r in csv.DictReader(path.open())} if path.exists() else {}
    with path.open("w", newline="") as f:
        out = csv.DictWriter(f, rows[0].keys())
        out.writeheader(); out.writerows(r | dict(why=known.get(r["change"], "") if r["change"] else "") for r in rows)

CORE = ("adapters arrivals checkpoints diagnostics disk distributed export layers linalg loading lora merger parallel plan projection report state tables tensorfiles workspace").split()

def coverage(folder):
    "Run the notebooks of the core under coverage"
    (folder / "rc").write_text(f"[run]\nparallel = true\nsource = opcm_nb\ndata_file = {folder / 'data'}\npatch = subprocess, fork, _exit\nconcurrency = thread\n")
    tool = [sys.executable, "-W", "ignore", "-m", "coverage"]
    for p in sorted(p for kind in ("merging/*", "rules/*", "promises/0[2-4]*", "tutorials/0[1-4]*") for p in Path("nbs").glob(kind + ".ipynb")):
        subprocess.run([*tool, "run", f"--rcfile={folder / 'rc'}", ".ci/mutants.py", "claims", p], env=os.environ | dict(MPLBACKEND="agg", OMP_NUM_THREADS="1"))
    subprocess.run([*tool, "combine", "-q", f"--rcfile={folder / 'rc'}"], check=True)
    subprocess.run([*tool, "json", "-q", f"--rcfile={folder / 'rc'}", "-o", folder / "json"], check=True)
    store_coverage(json.loads((folder / "json").read_text()))

def store_coverage(found, path=Path("nbs/promises/results/coverage.csv")):
    rows = [dict(module=f.removeprefix("opcm_nb/"), lines=v["summary"]["num_statements"], missed=v["summary"]["missing_lines"]) for f, v in found["files"].items() if "rules/" in f or Path(f).stem in CORE]
    with path.open("w", newline="") as f:
        out = csv.DictWriter(f, rows[0].keys())
        out.writeheader(); out.writerows(r for r in rows if r["lines"])

if __name__ == "__main__":
    if sys.argv[1] == "claims": claims(sys.argv[2:])
    elif sys.argv[1] == "coverage":
        with tempfile.TemporaryDirectory() as tmp: coverage(Path(tmp))
    else:
        with tempfile.TemporaryDirectory() as tmp:
            store([r for i, (modules, notebooks) in enumerate(GROUPS.items()) for r in run_group(sys.argv[2], modules, notebooks, Path(tmp) / str(i))])
