;; Custom sections stay in their place, but for those that hold code offsets.
(module
  (@custom "first" (before first) "1")
  (@custom "producers" (after code) "\00")
  (@custom ".debug_info" "offsets")
  (@custom "reloc.CODE" "offsets")
  (@custom "metadata.code.branch_hint" (before code) "\00")
  (@custom "metadata.code.of_another_kind" (before code) "offsets")
  (@custom "target_features" "\00")
  (@custom "sourceMappingURL" "\04a.js")
  (@custom "last" "2")
  (memory (import "env" "memory") 1 1 shared)
  (func (result i32) (memory.grow (i32.const 1))))
