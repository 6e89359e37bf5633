"""Coverage-guided fuzzing of everything that reads a stranger's file; needs atheris.

python .ci/fuzz.py CORPUS -runs=200000 -max_len=4096 -timeout=20 -rss_limit_mb=4000      # as libFuzzer's
The first byte of an input says which file the rest is. Whatever is not an OpcmError is a finding; findings become files of .ci/corpus, which CI replays.
"""
import json, sys, tempfile, warnings
from contextlib import nullcontext
from pathlib import Path

try: import atheris
except ImportError: atheris = None
with atheris.instrument_imports(include=["opcm_nb", "torch._weights_only_unpickler", "torch.serialization"]) if atheris and __name__ == "__main__" else nullcontext():
    import torch
    from opcm_nb.checkpoints.adapters import adapted
    from opcm_nb.checkpoints.companions import companions
    from opcm_nb.checkpoints.loading import open_checkpoint
    from opcm_nb.merging.merger import ContinualMerger
    from opcm_nb.merging.state import StateFolder
    from opcm_nb.basics.disk import OpcmError
from safetensors.torch import save, save_file

BASE = {"a.weight": torch.ones(3, 4), "b": torch.ones(2), "n": torch.arange(2)}
FACTORS = {"base_model.model.a.lora_A.weight": torch.ones(2, 4), "base_model.model.a.lora_B.weight": torch.ones(3, 2)}
LORA = dict(peft_type="LORA", r=2, lora_alpha=4, alpha_pattern={"a": 3}, target_modules=["a"])
tmp = Path(tempfile.mkdtemp(prefix="fuzz"))

def put(folder, name, data, **others):
    "A folder that holds one file from the fuzzer, and sound ones beside it"
    folder = tmp / folder
    folder.mkdir(exist_ok=True)
    for other, write in others.items():
        if not (folder / other.replace("__", ".")).exists(): write(folder / other.replace("__", "."))
    (folder / name).write_bytes(data)
    return folder

def read(ckpt):
    "Every tensor, whole and in pieces"
    for n, s in ckpt.specs.items():
        if s.nbytes < 1 << 20: ckpt.read(n), ckpt.digest(n)

weights = lambda path: save_file({n: x.clone() for n, x in BASE.items()}, path)
factors = lambda path: save_file(FACTORS, path)
config = lambda path: path.write_text(json.dumps(LORA))
KINDS = {"safetensors": lambda data: read(open_checkpoint(put("st", "model.safetensors", data))),
         "pickle": lambda data: read(open_checkpoint(put("pt", "pytorch_model.bin", data))),
         "index": lambda data: read(open_checkpoint(put("index", "model.safetensors.index.json", data, one__safetensors=weights))),
         "adapter config": lambda data: read(adapted(open_checkpoint(BASE), put("config", "adapter_config.json", data, adapter_model__safetensors=factors), "x")),
         "adapter": lambda data: read(adapted(open_checkpoint(BASE), put("adapter", "adapter_model.safetensors", data, adapter_config__json=config), "x")),
         "manifest": lambda data: StateFolder.open(put("state", "manifest.json", data)).verify(),
         "record": lambda data: ContinualMerger.create(BASE).add(put("record", "opcm_expert.json", data, model__safetensors=weights)),
         "expert": lambda data: ContinualMerger.create(BASE).add(put("expert", "model.safetensors", data)),
         "config": lambda data: ContinualMerger.create(put("config_json", "config.json", data, model__safetensors=weights)),
         "modules": lambda data: companions(put("modules", "modules.json", data, model__safetensors=weights))}

def one(data: bytes):
    "Open what the bytes say; only an OpcmError may come of it"
    if not data: return
    warnings.simplefilter("ignore")
    kind = data[0] if data[0] < len(KINDS) else data[0] % 8                  # the first eight, as in the corpus
    try: list(KINDS.values())[kind](data[1:])
    except OpcmError: pass

def seeds(folder):
    "One sound file of each kind"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(BASE, tmp / "seed.bin"); StateFolder.create(tmp / "seed", dict(totals=dict(t=0)))
    sound = dict(safetensors=save(BASE), pickle=(tmp / "seed.bin").read_bytes(), index=json.dumps(dict(weight_map={n: "one.safetensors" for n in BASE})).encode(),
                 manifest=(tmp / "seed/manifest.json").read_bytes(), record=json.dumps(dict(tangent=True, only="", start=dict(source="x", hash="y"))).encode(), expert=save({n: x * 2 if x.is_floating_point() else x for n, x in BASE.items()}))
    sound |= {"adapter config": json.dumps(LORA).encode(), "adapter": save(FACTORS), "modules": json.dumps([dict(path="1_Pooling")]).encode(),
              "config": json.dumps(dict(architectures=["AForSequenceClassification"], id2label={"0": "a"}, pretrained_cfg=dict(classifier="b"))).encode()}
    for i, kind in enumerate(KINDS): (folder / f"{kind.replace(' ', '-')}-sound").write_bytes(bytes([i]) + sound[kind])

WORDS = ("weight_map", "dtype", "shape", "data_offsets", "F32", "peft_type", "LORA", "lora_alpha", "alpha_pattern", "use_rslora", "fan_in_fan_out", "bias", "modules_to_save", "init_lora_weights",
         "auto_mapping", "base_model_class", "architectures", "id2label", "pretrained_cfg", "classifier", "path", "tangent", "only", "start", "source", "hash", "format", "opcm_nb state", "version", "generation", "null", "true", "1e999", "NaN", "{}", "[]", "..", "/")

if __name__ == "__main__":
    seeds(Path(sys.argv[1]))
    (tmp / "words").write_text("\n".join(json.dumps(w) for w in WORDS))
    atheris.Setup([*sys.argv, f"-dict={tmp / 'words'}"], one)
    atheris.Fuzz()
