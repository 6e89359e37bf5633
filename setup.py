"Packaging from settings.ini, which nbdev reads too: one place for names, versions and requirements."
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

parser = ConfigParser(delimiters=["="])
parser.read("settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

def absolute(link):
    "A relative link of README.md as PyPI needs it: to the page on GitHub, of a picture to the file itself"
    raw = cfg["git_url"].replace("github.com", "raw.githubusercontent.com") + f"/{cfg['branch']}/"
    picture = link[1].endswith((".png", ".svg", ".jpg", ".gif"))
    return f"]({raw if picture else cfg['git_url'] + '/blob/' + cfg['branch'] + '/'}{link[1]})"

readme = re.sub(r"\]\((?!https?://|#)([^)\s]+)\)", absolute, Path("README.md").read_text(encoding="utf-8"))

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme,
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=cfg["keywords"].split(),
    packages=find_packages(include=[cfg["lib_name"], cfg["lib_name"] + ".*"]),
    include_package_data=True,
    python_requires=">=" + cfg["min_python"],
    install_requires=cfg["requirements"].split(),
    extras_require={k: cfg[f"{k}_requirements"].split() for k in ("dev", "harness")},
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"],
    },
    zip_safe=False,
)
