"""The live dashboard for Apache httpd + mod_wsgi.

The tree of modules is the path of a sample, from Apache's scoreboard to a viewer:

    sources         mod_wsgi.server_metrics(), or the simulator (simulator, traffic)
    core.scoreboard the dict, parsed and checked; core.redaction masks its strings
    core.rates      worker counts, rates between two readings, capacity
    core.guard      how many viewers Apache's pool of workers can bear
    core.wire       the protocol: its specification, types, and WebSocket frames
    core.encoder    samples to frames; core.decoder: frames to samples
    poller          the tick: read, derive, hand on
    hub             the same bytes to every viewer, and no viewer in another's way
    recorder        the same bytes to the disk: tape writes the file, recording reads it
    archive         what may be asked of the recording; history_api and export_api over HTTP
    app             page, WebSocket, API, health; behind the checks of middlewares
    service         listen, run, go quickly; service_script is what Apache imports

Out of the page: core.alerts judges each reading by rules, core.durations knows what is usual, webhook
sends what changed. core.metrics names metrics, exposition serves them; assets are files for Prometheus
and Grafana, which assets_command writes. drain tells when only the dashboard is at work; fields makes
answers smaller, openapi (with answers) describes them. terminal is the first screen for a terminal, on
core.verdict, requests, groups, filters and sentences, the twins of the page's own.
client watches a dashboard from another program.
core.events finds what happened between samples, core.history makes numbers over time of them.
incident makes a file of a range, unpacking checks one; local_recordings, instants, incident_command
and what_if are the commands on recordings.
settings holds every setting, logs the form of a log's lines, supervisor keeps background tasks running,
cli is the command.
Imports point down this path; core knows no I/O, no clock and no framework.
"""

__version__ = "0.1.0"
