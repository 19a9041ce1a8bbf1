[
  inputs: ["{mix,.formatter}.exs", "{core,lib,test,conformance,bench}/**/*.{ex,exs}"],
  line_length: 120
]
