;; Without code there is nothing to stop.
(module
  (type (func)))
