// A container is started for each call: stdin is the body, stdout the answer, stderr the log.
const fs = require('fs')

const name = fs.readFileSync(0, 'utf8').trim() || 'world'
console.error(`greeting ${name}`)
console.log(`Hello, ${name}!`)
