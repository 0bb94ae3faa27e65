"""The page of what the running dashboard sees of its own set-up: HTML without script, and its style.

Owns the markup. All that it is given is escaped; what is wrong is selfcheck.py's to say.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from mod_wsgi_dashboard.apacheconf.findings import Finding, Severity
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.selfcheck import READ

# A file of its own, for the policy of middlewares allows no other style.
STYLE_NAME = "doctor.css"

STYLE = """\
:root {
  color-scheme: light dark;
  --page: #f4f6f8;
  --panel: #ffffff;
  --line: #dde3e9;
  --ink: #17212b;
  --muted: #566573;
  --error: #8c1d00;
  --warning: #a34700;
  --link: #00609a;
}

@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1318;
    --panel: #151c23;
    --line: #27313b;
    --ink: #e4eaf0;
    --muted: #96a5b3;
    --error: #ffb59e;
    --warning: #f0a35c;
    --link: #7cc4f0;
  }
}

* {
  box-sizing: border-box;
}

body {
  margin: 0;
  background: var(--page);
  color: var(--ink);
  font: 14px/1.5 system-ui, sans-serif;
}

main {
  max-width: 800px;
  margin: 0 auto;
  padding: 16px;
}

h1 {
  font-size: 18px;
}

h2 {
  margin: 0;
  font-size: 15px;
}

a {
  color: var(--link);
}

article {
  margin: 16px 0;
  padding: 12px 16px;
  background: var(--panel);
  border: 1px solid var(--line);
  border-left-width: 4px;
  border-radius: 6px;
}

.error {
  border-left-color: var(--error);
}

.error strong {
  color: var(--error);
}

.warning {
  border-left-color: var(--warning);
}

.warning strong {
  color: var(--warning);
}

dt {
  margin-top: 8px;
  color: var(--muted);
}

dd {
  margin: 0;
  overflow-wrap: anywhere;
}

pre {
  margin: 0;
  padding: 8px;
  background: var(--page);
  border: 1px solid var(--line);
  border-radius: 6px;
  font: 13px/1.4 ui-monospace, monospace;
  white-space: pre-wrap;
}
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{summary} - mod_wsgi dashboard</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{style}">
</head>
<body>
<main>
<p><a href="./">Dashboard</a></p>
<h1>What the dashboard sees of its own set-up</h1>
<p>{summary} {read}</p>
{findings}
<p>The rest of Apache's configuration is beyond it: run <code>mod_wsgi-dashboard doctor</code> on the
server.</p>
</main>
</body>
</html>
"""

_ARTICLE = """\
<article class="{severity}">
<h2><strong>{label}:</strong> {what}</h2>
<dl>
{seen}<dt>Why it matters</dt><dd>{why}</dd>
<dt>What to change</dt><dd><pre>{fix}</pre></dd>
<dt>Documentation</dt><dd><a href="{docs}">{docs}</a></dd>
</dl>
</article>"""


def page(findings: Sequence[Finding]) -> str:
    """Return the page of findings: a document of its own, without script, next to `STYLE_NAME`."""
    return _PAGE.format(
        summary=_summary(findings),
        style=STYLE_NAME,
        read=html.escape(READ),
        findings="\n".join(map(_article, findings)),
    )


def _summary(findings: Iterable[Finding]) -> str:
    severities = [finding.severity for finding in findings]
    counts = [
        f"{count} {severity.value}{'' if count == 1 else 's'}"
        for severity in Severity
        if (count := severities.count(severity))
    ]
    parts = [f"{', '.join(counts)}."] if counts else []
    if not {Severity.ERROR, Severity.WARNING} & set(severities):
        parts.insert(0, "Nothing wrong was found.")
    return " ".join(parts)


def _article(finding: Finding) -> str:
    rule = RULES[finding.check]
    seen = "".join(f"<dd>{_shown(item)}</dd>" for item in finding.evidence)
    return _ARTICLE.format(
        severity=finding.severity.value,
        label=finding.severity.value.capitalize(),
        what=_shown(finding.what),
        seen=f"<dt>Seen</dt>{seen}\n" if seen else "",
        why=_shown(rule.why),
        fix=_shown(finding.fix or rule.fix),
        docs=_shown(rule.docs),
    )


def _shown(text: str) -> str:
    """Return text for HTML; what can't be shown, a lone surrogate for one, is no character there."""
    return html.escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))
