# SPDX-License-Identifier: Apache-2.0
# The timing gate: no bitstream is written unless every path is constrained and meets its constraint.

# What is wrong in the text of a timing summary, as a list of sentences; empty if nothing is.
proc timing_problems {summary} {
  set problems {}
  set checks {
    no_clock constant_clock unconstrained_internal_endpoints multiple_clock generated_clocks loops latch_loops
  }
  foreach check $checks {
    if {![regexp "checking $check \\((\\d+)\\)" $summary -> count]} {
      lappend problems "the report does not say whether there are $check"
    } elseif {$count != 0} {
      lappend problems "$count found by the check $check"
    }
  }
  # WNS TNS failing total, then the same of hold (WHS) and of pulse width (WPWS)
  set number {\s+(-?[\d.]+)}
  set count {\s+\d+}
  set row "WNS\\(ns\\)\[^\\n\]*\\n\[\\s-\]*\\n$number$number$count$count$number$number$count$count$number"
  if {![regexp $row $summary -> wns tns whs ths wpws]} {
    lappend problems "the report has no line of slacks: no path is timed"
  } else {
    foreach {name slack} [list WNS $wns WHS $whs WPWS $wpws] {
      if {$slack < 0} {
        lappend problems "$name is $slack ns"
      }
    }
  }
  if {![string match "*All user specified timing constraints are met.*" $summary]} {
    lappend problems "the report does not say that all constraints are met"
  }
  return $problems
}

# Writes the summary of the open, routed design to a file and fails the build if anything is wrong in it.
proc timing_gate {file} {
  set summary [report_timing_summary -delay_type min_max -report_unconstrained -max_paths 10 -return_string]
  set out [open $file w]
  puts $out $summary
  close $out
  set problems [timing_problems $summary]
  if {[llength $problems]} {
    error "timing is not met, so no bitstream is written: [join $problems {; }] (see $file). Lower clock_mhz in the\
      design to the next IOPLL/n, or its PE and SIMD"
  }
  puts "Timing is met: $file"
}
