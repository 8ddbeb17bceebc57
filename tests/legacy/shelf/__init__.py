"""An app with the models that the tests of bindings watch."""
