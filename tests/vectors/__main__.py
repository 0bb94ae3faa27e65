"""Write the vectors anew."""

from tests.vectors import FOLDER, build

for old in FOLDER.glob("*.json"):
    old.unlink()
for name, text in build():
    (FOLDER / name).write_text(text, encoding="utf-8")
