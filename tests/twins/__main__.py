"""Write what the twins are held to anew."""

from tests.twins import FOLDER, build

files = dict(build())
for old in FOLDER.glob("*.json"):
    old.unlink()
for name, text in files.items():
    (FOLDER / name).write_text(text, encoding="utf-8")
