;; Memory 0 is unshared, and exported under its new index.
(module
  (memory $own 1)
  (memory $shared 1 1 shared)
  (func (param i32) (result i32)
    (i32.add (i32.load $own (local.get 0)) (i32.load $shared (local.get 0)))))
