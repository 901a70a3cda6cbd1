;; No memory: the module comes back as it is.
(module
  (@custom ".debug_info" "offsets")
  (func $f)
  (start $f))
