# SPDX-License-Identifier: Apache-2.0
# Reports of the open, routed design that `zeile hw pack` reads into the manifest, and some for people.

proc write_reports {folder} {
  report_utilization -file [file join $folder utilization.rpt]
  report_utilization -hierarchical -hierarchical_depth 4 -file [file join $folder utilization_hierarchical.rpt]
  report_clock_utilization -file [file join $folder clock_utilization.rpt]
  report_power -file [file join $folder power.rpt]
  report_drc -file [file join $folder drc.rpt]
  report_methodology -file [file join $folder methodology.rpt]
}
