// What a built file is made of, by acorn. Argument: {acorn: path, files: [{path, module}]}. Prints for each file
// the error of parsing it as ES5, the free names that it uses, and where it calls eval or Function.
"use strict";
const fs = require("fs");
const given = JSON.parse(process.argv[2]);
const acorn = require(given.acorn);

// The free names of a script, and of these the ones that `typeof` does not guard.
function names(tree) {
    const used = new Set();
    const scopes = [new Set()];
    function hoist(node, scope) {
        walk(node, (each) => {
            if (each.type === "VariableDeclarator") scope.add(each.id.name);
            if (each.type === "FunctionDeclaration") scope.add(each.id.name);
            return !/Function/.test(each.type);
        });
    }
    function walk(node, visit) {
        for (const key of Object.keys(node)) {
            for (const child of [].concat(node[key])) {
                if (child && typeof child.type === "string" && visit(child)) walk(child, visit);
            }
        }
    }
    function visit(node, guarded) {
        if (node.type === "Identifier" && !scopes.some((scope) => scope.has(node.name)) && !guarded.has(node.name)) {
            used.add(node.name);
        }
        if (node.type === "MemberExpression") {
            visit(node.object, guarded);
            if (node.computed) visit(node.property, guarded);
        } else if (node.type === "Property") {
            visit(node.value, guarded);
        } else if (node.type === "UnaryExpression" && node.operator === "typeof" && node.argument.type === "Identifier") {
            return;
        } else if (node.type === "ConditionalExpression" || node.type === "IfStatement" || node.type === "LogicalExpression") {
            const test = JSON.stringify(node.test || node.left);
            const more = new Set(guarded);
            for (const match of test.matchAll(/"operator":"typeof"[^}]*?"argument":\{[^}]*?"name":"(\w+)"/g)) more.add(match[1]);
            for (const key of ["test", "left", "consequent", "alternate", "right"]) if (node[key]) visit(node[key], more);
        } else if (/Function/.test(node.type)) {
            const scope = new Set(["arguments"]);
            if (node.id) scope.add(node.id.name);
            for (const parameter of node.params) scope.add(parameter.name);
            hoist(node.body, scope);
            scopes.push(scope);
            visit(node.body, guarded);
            scopes.pop();
        } else if (node.type === "CatchClause") {
            scopes.push(new Set([node.param.name]));
            visit(node.body, guarded);
            scopes.pop();
        } else {
            for (const key of Object.keys(node)) {
                for (const child of [].concat(node[key])) {
                    if (child && typeof child.type === "string") visit(child, guarded);
                }
            }
        }
    }
    hoist(tree, scopes[0]);
    visit(tree, new Set());
    return [...used].sort();
}

const results = given.files.map(({ path, module }) => {
    let source = fs.readFileSync(path, "utf8");
    // The last lines of a module are all that is not ES5.
    if (module) source = source.replace(/\nexport default \w+;\s?export ?\{ ?\w+ ?\};?\n?$/, "\n");
    try {
        return { error: null, names: names(acorn.parse(source, { ecmaVersion: 5, sourceType: "script" })) };
    } catch (error) {
        return { error: String(error), names: [] };
    }
});
console.log(JSON.stringify(results));
