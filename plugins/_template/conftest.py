"""The template is tested as a copy (tests/conformance/test_plugin_new.py), not in place."""

collect_ignore_glob = ["*"]
