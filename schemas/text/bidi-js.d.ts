// What bidi.ts uses of bidi-js. The package's own types are of an ES module, which Node does not load it as.
declare module 'bidi-js' {
  function bidiFactory(): {
    /** The name that Unicode gives the Bidi_Class of the first character: L, R, AL, EN … */
    getBidiCharTypeName(char: string): string
  }
  export = bidiFactory
}
