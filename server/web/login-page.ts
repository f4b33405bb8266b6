/** What a browser shows for a log-in link. The secret stands behind `#`, so it never reaches the server by HTTP. */
export const loginPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Log in</title>
<style>
  body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 12vh auto; padding: 0 1rem; }
  code { background: #8882; padding: .1em .3em; border-radius: .2em; }
</style>
<h1>This link logs a device in</h1>
<p>Copy the whole address of this page, with everything behind the <code>#</code>, and run on the device that you want to
enrol:</p>
<p><code>npx fmtp login 'the address of this page'</code></p>
<p>The link works once and for one day. Whoever has it can log in as you: do not pass it on. A new one is made by
<code>npm start -- --link</code> where the server runs.</p>
</html>
`
