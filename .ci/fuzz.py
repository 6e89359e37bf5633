#!/usr/bin/env python
"""Coverage-guided fuzzing of everything that reads a stranger's file; needs atheris.

python .ci/fuzz.py WORK -runs=200000 -max_len=4096 -timeout=20 -rss_limit_mb=4000    # goes on from the corpus
python .ci/fuzz.py SMALL WORK -merge=1 -max_len=4096     # only what adds coverage, into an empty folder
python .ci/fuzz.py pack SMALL                            # becomes .ci/corpus.tar.xz

The first byte of an input says which file the rest is. Whatever is not an OpcmError is a finding;
it gets a name in .ci/findings. CI tries findings, seeds and corpus again (nbs/promises/03_hostile_files.ipynb).
"""
import json, sys, tarfile, tempfile, warnings
from contextlib import nullcontext
from pathlib import Path

try: import atheris
except ImportError: atheris = None
READERS = ["opcm_nb", "torch._weights_only_unpickler", "torch.serialization"]
guided = atheris and __name__ == "__main__" and sys.argv[1] != "pack"
with atheris.instrument_imports(include=READERS) if guided else nullcontext():
    import torch
    from opcm_nb.checkpoints.full_models import adapted
    from opcm_nb.checkpoints.companions import companions
    from opcm_nb.checkpoints.loading import open_checkpoint
    from opcm_nb.merging.merger import ContinualMerger
    from opcm_nb.merging.state import StateFolder
    from opcm_nb.basics.disk import OpcmError
from safetensors.torch import save, save_file

CI = Path(__file__).resolve().parent
BASE = {"a.weight": torch.ones(3, 4), "b": torch.ones(2), "n": torch.arange(2)}
FACTORS = {"base_model.model.a.lora_A.weight": torch.ones(2, 4),
           "base_model.model.a.lora_B.weight": torch.ones(3, 2)}
LORA = dict(peft_type="LORA", r=2, lora_alpha=4, alpha_pattern={"a": 3}, target_modules=["a"])
tmp = Path(tempfile.mkdtemp(prefix="fuzz"))

def put(folder, name, data, **others):
    "A folder that holds one file from the fuzzer, and sound ones beside it"
    folder = tmp / folder
    folder.mkdir(exist_ok=True)
    for other, write in others.items():
        path = folder / other.replace("__", ".")
        if not path.exists(): write(path)
    (folder / name).write_bytes(data)
    return folder

def read(ckpt):
    "Every tensor, whole and in pieces"
    for n, s in ckpt.specs.items():
        if s.nbytes < 1 << 20: ckpt.read(n), ckpt.digest(n)

def adapter(folder, name, data, **others):
    read(adapted(open_checkpoint(BASE), put(folder, name, data, **others), "x"))

weights = lambda path: save_file({n: x.clone() for n, x in BASE.items()}, path)
factors = lambda path: save_file(FACTORS, path)
config = lambda path: path.write_text(json.dumps(LORA))
KINDS = {
    "safetensors": lambda data: read(open_checkpoint(put("st", "model.safetensors", data))),
    "pickle": lambda data: read(open_checkpoint(put("pt", "pytorch_model.bin", data))),
    "index": lambda data: read(open_checkpoint(put("index", "model.safetensors.index.json", data,
                                                   one__safetensors=weights))),
    "adapter config": lambda data: adapter("config", "adapter_config.json", data,
                                           adapter_model__safetensors=factors),
    "adapter": lambda data: adapter("adapter", "adapter_model.safetensors", data,
                                    adapter_config__json=config),
    "manifest": lambda data: StateFolder.open(put("state", "manifest.json", data)).verify(),
    "record": lambda data: ContinualMerger.create(BASE).add(put("record", "opcm_expert.json", data,
                                                                model__safetensors=weights)),
    "expert": lambda data: ContinualMerger.create(BASE).add(put("expert", "model.safetensors", data)),
    "config": lambda data: ContinualMerger.create(put("config_json", "config.json", data,
                                                      model__safetensors=weights)),
    "modules": lambda data: companions(put("modules", "modules.json", data,
                                           model__safetensors=weights))}

def one(data: bytes):
    "Open what the bytes say; only an OpcmError may come of it"
    if not data: return
    warnings.simplefilter("ignore")
    kind = data[0] if data[0] < len(KINDS) else data[0] % 8      # the first eight, as in the corpus
    try: list(KINDS.values())[kind](data[1:])
    except OpcmError: pass

def seeds():
    "One sound file of each kind, by name"
    torch.save(BASE, tmp / "seed.bin")
    StateFolder.create(tmp / "seed", dict(totals=dict(t=0)))
    texts = {"index": dict(weight_map={n: "one.safetensors" for n in BASE}), "adapter config": LORA,
             "record": dict(tangent=True, only="", start=dict(source="x", hash="y")),
             "config": dict(architectures=["AForSequenceClassification"], id2label={"0": "a"},
                            pretrained_cfg=dict(classifier="b")),
             "modules": [dict(path="1_Pooling")]}
    sound = {k: json.dumps(v).encode() for k, v in texts.items()} | {
        "safetensors": save(BASE), "pickle": (tmp / "seed.bin").read_bytes(), "adapter": save(FACTORS),
        "manifest": (tmp / "seed/manifest.json").read_bytes(),
        "expert": save({n: x * 2 if x.is_floating_point() else x for n, x in BASE.items()})}
    return {f"sound-{kind.replace(' ', '-')}": bytes([i]) + sound[kind] for i, kind in enumerate(KINDS)}

def named():
    "Findings and seeds"
    return {p.name: p.read_bytes() for p in sorted((CI / "findings").iterdir())} | seeds()

def inputs():
    "All that is tried again, by name: findings, seeds, and what once reached something new"
    with tarfile.open(CI / "corpus.tar.xz") as tar:
        return named() | {m.name: tar.extractfile(m).read() for m in tar}

def pack(folder):
    "The inputs of a folder that have no name as one archive, the same for the same inputs"
    known = set(named().values())
    with tarfile.open(CI / "corpus.tar.xz", "w:xz") as tar:
        for p in sorted(folder.iterdir()):
            info = tarfile.TarInfo(p.name)
            info.size = p.stat().st_size
            if p.read_bytes() not in known: tar.addfile(info, p.open("rb"))

WORDS = """weight_map dtype shape data_offsets F32 peft_type LORA lora_alpha alpha_pattern use_rslora
    fan_in_fan_out bias modules_to_save init_lora_weights auto_mapping base_model_class architectures
    id2label pretrained_cfg classifier path tangent only start source hash format version generation
    null true 1e999 NaN {} [] .. /""".split() + ["opcm_nb state"]

if __name__ == "__main__":
    if sys.argv[1] == "pack": sys.exit(pack(Path(sys.argv[2])))
    work, merges = Path(sys.argv[1]), any(a.startswith("-merge") for a in sys.argv)
    work.mkdir(parents=True, exist_ok=True)
    for name, data in (seeds() if merges else inputs()).items(): (work / name).write_bytes(data)
    (tmp / "words").write_text("\n".join(json.dumps(w) for w in WORDS))
    atheris.Setup([*sys.argv, f"-dict={tmp / 'words'}"], one)
    atheris.Fuzz()
