"""What PyPI gets: python .ci/archives.py FOLDER

Of the wheel and the source archive in FOLDER: that each is small enough for PyPI, that the demo comes with its
model, experts, texts and licences, that every link of the page on PyPI is absolute, and that a picture
which it takes from the repository is there.
"""
import re, sys, tarfile, zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT = 100_000_000                                   # PyPI's for one file
DATA = [str(p.relative_to(ROOT)) for folder in ("demo_data", "protocols")
        for p in (ROOT / "opcm_nb" / folder).rglob("*") if p.is_file()]
NEEDED = DATA + ["opcm_nb/demo_data/README.md", "opcm_nb/demo_data/base/model.safetensors",
                 "opcm_nb/demo_data/text/README.md", "opcm_nb/demo_data/text/definitions/WNDB_License.txt"]
RAW = "https://raw.githubusercontent.com/opcm-nb/opcm_nb/main/"

def content(path):
    "Names in an archive, without the folder that a source archive puts them in, and the text of PyPI's page"
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as z:
            names = z.namelist()
            page, = (z.read(n).decode() for n in names if n.endswith(".dist-info/METADATA"))
            return names, page
    with tarfile.open(path) as t:
        names = [n.partition("/")[2] for n in t.getnames()]
        page = t.extractfile(f"{t.getnames()[0].partition('/')[0]}/PKG-INFO").read().decode()
        return names, page

def missing_pictures(text):
    "Pictures that a text takes from the repository's main branch and that are not in it"
    return [p for p in re.findall(re.escape(RAW) + r"([^\s)\"'#?>]+)", text) if not (ROOT / p).is_file()]

def faults(path):
    names, page = content(path)
    licence = "LICENSE" if path.name.endswith(".tar.gz") else f"{path.name.split('-py3')[0]}.dist-info/licenses/LICENSE"
    if path.stat().st_size >= LIMIT: yield f"{path.stat().st_size / 1e6:.1f} MB, and PyPI takes {LIMIT / 1e6:.0f} MB"
    yield from (f"lacks {n}" for n in sorted({*NEEDED, licence} - set(names)))
    yield from (f"a relative link: {l}" for l in re.findall(r"\]\((?!https?://|#|mailto:)([^)]*)\)", page))
    yield from (f"a relative picture: {s}" for s in re.findall(r"<img[^>]+src=[\"'](?!https?://)([^\"']*)", page))
    yield from (f"no such file in the repository: {p}" for p in missing_pictures(page))

def main(folder):
    archives = sorted(p for p in Path(folder).iterdir() if p.name.endswith((".whl", ".tar.gz")))
    if [p.suffix for p in archives] != [".whl", ".gz"]: sys.exit(f"{folder}: expected a wheel and a source archive")
    bad = [f"{p.name}: {fault}" for p in archives for fault in faults(p)]
    for p in archives: print(f"{p.name} {p.stat().st_size / 1e6:.1f} MB")
    print("\n".join(bad) or "archives are complete")
    sys.exit(bool(bad))

if __name__ == "__main__": main(sys.argv[1])
