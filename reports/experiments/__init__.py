"""The papers, one file each; see :mod:`siloom.reports.reproduce`."""
